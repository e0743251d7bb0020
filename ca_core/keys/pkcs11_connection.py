"""One logged-in session on a token, shared by the whole process and found again after the token went away."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import TypeVar

import pkcs11
from pkcs11 import Session, exceptions

from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.keys.model import KeyStoreHealth, KeyStoreState

T = TypeVar("T")

_GONE = (
    exceptions.DeviceError,
    exceptions.DeviceRemoved,
    exceptions.FunctionFailed,
    exceptions.GeneralError,
    exceptions.KeyHandleInvalid,
    exceptions.NoSuchToken,
    exceptions.ObjectHandleInvalid,
    exceptions.OperationActive,
    exceptions.OperationNotInitialized,
    exceptions.SessionClosed,
    exceptions.SessionHandleInvalid,
    exceptions.SlotIDInvalid,
    exceptions.TokenNotPresent,
    exceptions.TokenNotRecognised,
    exceptions.UserNotLoggedIn,
)
"""What a token answers that was removed, reset or restarted under an open session."""


FREE_FAILURES = 3
"""So many failures in a row are each followed by another try at the next call; then calls are refused for a while."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(slots=True)
class _Standing:
    """How a token answered lately."""

    state: KeyStoreState
    since: float
    failures: int = 0
    retry_at: float = 0.0
    detail: str = ""


class _Module:
    """A PKCS#11 module as loaded into this process, and the lock that every call of it is made under.

    python-pkcs11 initialises modules for use by one thread at a time, and the standard ties a login to the process, not
    to a session; so there is one lock for each module and one session for each of its tokens, in every process.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.sessions: dict[str, tuple[Session, str]] = {}
        self.standings: dict[str, _Standing] = {}
        self.epoch = 0
        self.restarts = 0
        self._process_id = os.getpid()
        self._left_behind: list[Session] = []

    def session(self, token_label: str, pin: str) -> Session:
        """The token's session, opened where there is none. The lock is held."""
        if self._process_id != os.getpid():  # the module is the parent's until it is initialised anew
            self.restart()
            self._process_id = os.getpid()
        known = self.sessions.get(token_label)
        if known is None:
            session = pkcs11.lib(self.path).get_token(token_label=token_label).open(user_pin=pin, rw=True)
            self.sessions[token_label] = (session, pin)
            return session
        session, used_pin = known
        if not compare_digest(used_pin.encode(), pin.encode()):
            raise exceptions.PinIncorrect
        return session

    def restart(self) -> None:
        """Forgets every session and initialises the module again, which makes it look for tokens again."""
        self.epoch += 1
        self.restarts += 1
        self.sessions.clear()
        with suppress(exceptions.PKCS11Error):
            pkcs11.lib(self.path).reinitialize()

    def after_fork(self) -> None:
        """In the child: a lock that nobody holds, and no handle of the parent's.

        The parent's sessions are kept from being collected, since that would close them, in the parent's name, at a
        token that both processes reach.
        """
        self.lock = threading.RLock()
        self._left_behind += [session for session, _ in self.sessions.values()]
        self.sessions = {}
        self.standings = {}
        self.epoch += 1


_modules: dict[str, _Module] = {}
_modules_lock = threading.Lock()


def _module(path: str) -> _Module:
    with _modules_lock:
        return _modules.setdefault(path, _Module(path))


def _after_fork_in_child() -> None:
    if _modules_lock.locked():  # by a thread that the child does not have
        _modules_lock.release()
    for module in _modules.values():
        module.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


class TokenConnection:
    """Runs operations on a token, one at a time."""

    def __init__(
        self, module: Path, token_label: str, pin: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not module.is_file():
            raise ConfigurationError(f"no PKCS#11 module at {module}")
        self._module = _module(str(module.resolve()))
        self._token_label = token_label
        self._pin = pin
        self._monotonic = monotonic

    @property
    def epoch(self) -> int:
        """Changes whenever object handles found earlier are void."""
        return self._module.epoch

    def health(self) -> KeyStoreHealth:
        """How the token answered so far. Waits for no call that is under way."""
        now, standing = self._monotonic(), self._module.standings.get(self._token_label)
        if standing is None:
            return KeyStoreHealth(state=KeyStoreState.UNUSED, for_s=0.0)
        return KeyStoreHealth(
            state=standing.state,
            for_s=max(0.0, now - standing.since),
            failures=standing.failures,
            retry_in_s=max(0.0, standing.retry_at - now),
            restarts=self._module.restarts,
            detail=standing.detail,
        )

    def run(self, operation: Callable[[Session], T]) -> T:
        """The operation's result; tried once more on a new session where the token has gone away and come back.

        For operations that may be repeated. Raises: Unavailable, ConfigurationError, whatever the operation raises.
        """
        with self._module.lock:
            self._verify_not_left_alone()
            try:
                return self._answered(self._run(operation))
            except _GONE:
                self._module.restart()
            try:
                return self._answered(self._run(operation))
            except _GONE as error:
                raise self._unanswered(error) from error

    def run_once(self, operation: Callable[[Session], T]) -> T:
        """The same without a second try, for operations that leave something behind."""
        with self._module.lock:
            self._verify_not_left_alone()
            try:
                return self._answered(self._run(operation))
            except _GONE as error:
                raise self._unanswered(error) from error

    def _verify_not_left_alone(self) -> None:
        """Refuses at once while a token that failed again and again is left alone. Raises: Unavailable."""
        standing = self._module.standings.get(self._token_label)
        if standing is not None and self._monotonic() < standing.retry_at:
            raise Unavailable(f"the token {self._token_label}: {standing.detail}, left alone for a while")

    def _answered(self, result: T) -> T:
        standing = self._module.standings.get(self._token_label)
        if standing is None or standing.state is not KeyStoreState.READY:
            self._module.standings[self._token_label] = _Standing(KeyStoreState.READY, self._monotonic())
        return result

    def _unanswered(self, error: Exception) -> Unavailable:
        now, kind = self._monotonic(), type(error).__name__
        standing = self._module.standings.get(self._token_label)
        if standing is None or standing.state is not KeyStoreState.AWAY:
            standing = self._module.standings[self._token_label] = _Standing(KeyStoreState.AWAY, now)
        standing.failures += 1
        standing.detail = kind
        if standing.failures >= FREE_FAILURES:
            doublings = min(standing.failures - FREE_FAILURES, 10)
            standing.retry_at = now + min(FIRST_PAUSE_S * 2**doublings, LONGEST_PAUSE_S)
        return Unavailable(f"the token {self._token_label}: {kind}")

    def _run(self, operation: Callable[[Session], T]) -> T:
        try:
            session = self._module.session(self._token_label, self._pin)
        except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLocked, exceptions.PinLenRange) as error:
            raise ConfigurationError(f"the token {self._token_label}: {type(error).__name__}") from error
        return operation(session)
