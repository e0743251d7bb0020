"""One logged-in session on a token, shared by the whole process and found again after the token went away."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path
from typing import TypeVar

import pkcs11
from pkcs11 import Session, exceptions

from ca_core.kernel.errors import ConfigurationError, Unavailable

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


class _Module:
    """A PKCS#11 module as loaded into this process, and the lock that every call of it is made under.

    python-pkcs11 initialises modules for use by one thread at a time, and the standard ties a login to the process, not
    to a session; so there is one lock for each module and one session for each of its tokens.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.sessions: dict[str, tuple[Session, str]] = {}
        self.epoch = 0
        self._process_id = os.getpid()

    def session(self, token_label: str, pin: str) -> Session:
        """The token's session, opened where there is none. The lock is held."""
        if self._process_id != os.getpid():  # after a fork the module must be initialised anew
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
        self.sessions.clear()
        with suppress(exceptions.PKCS11Error):
            pkcs11.lib(self.path).reinitialize()


_modules: dict[str, _Module] = {}
_modules_lock = threading.Lock()


def _module(path: str) -> _Module:
    with _modules_lock:
        return _modules.setdefault(path, _Module(path))


class TokenConnection:
    """Runs operations on a token, one at a time."""

    def __init__(self, module: Path, token_label: str, pin: str) -> None:
        if not module.is_file():
            raise ConfigurationError(f"no PKCS#11 module at {module}")
        self._module = _module(str(module.resolve()))
        self._token_label = token_label
        self._pin = pin

    @property
    def epoch(self) -> int:
        """Changes whenever object handles found earlier are void."""
        return self._module.epoch

    def run(self, operation: Callable[[Session], T]) -> T:
        """The operation's result; tried once more on a new session where the token has gone away and come back.

        For operations that may be repeated. Raises: Unavailable, ConfigurationError, whatever the operation raises.
        """
        with self._module.lock:
            try:
                return self._run(operation)
            except _GONE:
                self._module.restart()
            try:
                return self._run(operation)
            except _GONE as error:
                raise Unavailable(f"the token {self._token_label}: {type(error).__name__}") from error

    def run_once(self, operation: Callable[[Session], T]) -> T:
        """The same without a second try, for operations that leave something behind."""
        with self._module.lock:
            try:
                return self._run(operation)
            except _GONE as error:
                raise Unavailable(f"the token {self._token_label}: {type(error).__name__}") from error

    def _run(self, operation: Callable[[Session], T]) -> T:
        try:
            session = self._module.session(self._token_label, self._pin)
        except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLocked, exceptions.PinLenRange) as error:
            raise ConfigurationError(f"the token {self._token_label}: {type(error).__name__}") from error
        return operation(session)
