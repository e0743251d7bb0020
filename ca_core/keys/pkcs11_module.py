"""A PKCS#11 module in this process: initialised for several threads, a bounded number of sessions, fork."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

import pkcs11
from pkcs11 import Session, exceptions

MOST_SESSIONS = 4
"""Calls at one time, each with a session of its own. A module that cannot lock gets one at a time."""
FORK_PATIENCE_S = 2.0
"""How long a fork waits for calls inside the module, whose locks the child would find taken."""
_OF_ONE_PIN = (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange)
PIN_REFUSALS = (*_OF_ONE_PIN, exceptions.PinExpired, exceptions.PinLocked, exceptions.UserPinNotInitialized)
"""What a login is answered that no repetition makes good, and that may cost one of the token's few tries."""

_ANY_PIN = None
_OS_LOCKING_OK = 2
_OK = 0


class _InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (
        ("create_mutex", ctypes.c_void_p),
        ("destroy_mutex", ctypes.c_void_p),
        ("lock_mutex", ctypes.c_void_p),
        ("unlock_mutex", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _FunctionList(ctypes.Structure):
    """The head of CK_FUNCTION_LIST."""

    _fields_ = (
        ("major", ctypes.c_ubyte),
        ("minor", ctypes.c_ubyte),
        ("initialize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
        ("finalize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
    )


def initialise_again(path: str) -> bool:
    """Ends the module's life and begins another; returns whether several threads may call it at one time.

    python-pkcs11 initialises modules for one thread and has no other way, so this goes past it, after it.
    Raises: PKCS11Error.
    """
    pkcs11.lib(path)
    functions = ctypes.POINTER(_FunctionList)()
    if ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(functions)) != _OK:
        raise exceptions.GeneralError
    functions.contents.finalize(None)
    arguments = _InitializeArguments(flags=_OS_LOCKING_OK)
    if functions.contents.initialize(ctypes.addressof(arguments)) == _OK:
        return True
    if functions.contents.initialize(None) == _OK:
        return False
    raise exceptions.GeneralError


@dataclass(slots=True)
class Seat:
    """A session, and the private keys that were found in it, by CKA_ID. Used by one thread at a time."""

    session: Session
    handles: dict[bytes, Any] = field(default_factory=dict)


class NoSeat(Exception):
    """The token opens no further session: the caller comes in again, when one is free."""


class PinRefused(Exception):
    """The token does not take the PIN, or did not when it was asked; the message is the kind of refusal.

    by_token: else the process is logged in with another one, which goes on.
    """

    def __init__(self, kind: str, *, by_token: bool) -> None:
        super().__init__(kind)
        self.by_token = by_token


class TokenModule:
    """Who is inside the module, and with which session.

    The standard ties a login to the process: the first session of a token logs in, the others find it done.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.epoch = 0
        self.restarts = 0
        self._changed = threading.Condition()
        self._opening = threading.Lock()
        self._inside = 0
        self._is_held = False
        self._most = 1
        self._is_begun = False
        self._idle: dict[str, list[Seat]] = {}
        self._pins: dict[str, str] = {}
        self._refused: dict[tuple[str, str | None], str] = {}
        self._left_behind: list[list[Seat]] = []
        self._is_lost = False

    @contextmanager
    def inside(self) -> Iterator[int]:
        """For calls of the module beside those of other threads. Yields the epoch, which stays as it is within.

        Raises: PKCS11Error, where the module cannot be initialised.
        """
        while not self._entered():
            self.restart(after=self.epoch, is_first=True)
        try:
            yield self.epoch
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _entered(self) -> bool:
        """False where the module is not initialised; else waits for its turn."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_held and (self._inside < self._most or not self._is_begun))
            self._inside += self._is_begun
            return self._is_begun

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With no call inside the module, and none beginning."""
        self._hold(lambda: False)
        try:
            yield
        finally:
            self._let_go()

    def restart(self, *, after: int, is_first: bool = False) -> None:
        """Forgets every session and initialises the module again, which makes it look for tokens again.

        after: the epoch that the caller knows to be over; where another has restarted since, nothing is done.
        Raises: PKCS11Error, where it is the first time.
        """
        if not self._hold(lambda: self.epoch != after or (is_first and self._is_begun)):
            return
        try:
            if self._is_lost:
                if is_first:
                    raise exceptions.GeneralError("forked from a process whose token did not answer")
                return
            self.epoch += 1
            self.restarts += not is_first
            self._idle.clear()
            self._pins.clear()
            self._is_begun = False  # and it stays so where this fails: whoever comes next tries again
            with suppress(*(() if is_first else (exceptions.PKCS11Error,))):
                self._most = MOST_SESSIONS if initialise_again(self.path) else 1
                self._is_begun = True
        finally:
            self._let_go()

    def _hold(self, is_needless: Callable[[], bool]) -> bool:
        """Waits for those inside, letting none in; False, without waiting for them, where there is no need any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_held)
            if is_needless():
                return False
            self._is_held = True
            self._changed.wait_for(lambda: self._inside == 0)
            return True

    def _let_go(self) -> None:
        with self._changed:
            self._is_held = False
            self._changed.notify_all()

    def take_seat(self, token_label: str, pin: str) -> Seat:
        """A session of that token, opened where none is free; for a caller that is `inside`.

        A PIN that was refused is not tried again in this process, since a token counts tries. Raises: PinRefused,
        NoSeat, PKCS11Error.
        """
        with self._opening:
            used_pin = self._pins.get(token_label)
            if used_pin is not None and not compare_digest(used_pin.encode(), pin.encode()):
                raise PinRefused(exceptions.PinIncorrect.__name__, by_token=False)
            kind = self._refused.get((token_label, pin)) or self._refused.get((token_label, _ANY_PIN))
            if kind is not None:
                raise PinRefused(kind, by_token=True)
            idle = self._idle.setdefault(token_label, [])
            if idle:
                return idle.pop()
            token = pkcs11.lib(self.path).get_token(token_label=token_label)
            if used_pin is not None:
                return self._another_seat(token)
            try:
                session = token.open(user_pin=pin, rw=True)
            except PIN_REFUSALS as error:
                which = pin if isinstance(error, _OF_ONE_PIN) else _ANY_PIN
                kind = self._refused[token_label, which] = type(error).__name__
                raise PinRefused(kind, by_token=True) from error
            self._pins[token_label] = pin
            return Seat(session)

    def _another_seat(self, token: pkcs11.Token) -> Seat:
        try:
            return Seat(token.open(rw=True))
        except exceptions.SessionCount as error:
            with self._changed:
                if self._inside <= 1:
                    raise
                self._most = self._inside - 1
            raise NoSeat from error

    def give_back(self, token_label: str, seat: Seat) -> None:
        """The session is whole and may serve another; for a caller that is still `inside`."""
        with self._opening:
            self._idle.setdefault(token_label, []).append(seat)

    def before_fork(self) -> None:
        """Waits until no call is inside and lets none begin: the child is to find none of the locks inside it taken."""
        self._changed.acquire()
        self._is_lost = not self._changed.wait_for(lambda: self._inside == 0, FORK_PATIENCE_S)

    def after_fork_in_parent(self) -> None:
        self._is_lost = False
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """In the child: locks that nobody holds, and no handle of the parent's; the module begins anew at first use.

        The parent's sessions are kept, so that nothing closes them in the parent's name.
        """
        self._changed, self._opening = threading.Condition(), threading.Lock()
        self._inside, self._is_held, self._is_begun = 0, False, False
        self._left_behind += self._idle.values()
        self._idle, self._pins = {}, {}
        self.epoch += 1
