"""Logged-in sessions on a token, one for each call under way, found again after the token went away."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pkcs11 import exceptions

from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.keys.errors import KeyStoreFault
from ca_core.keys.model import KeyStoreHealth, KeyStoreState
from ca_core.keys.pkcs11_module import NoSeat, PinRefused, Seat, TokenModule

T = TypeVar("T")

_OF_THE_CALL = (
    exceptions.ArgumentsBad,
    exceptions.AttributeReadOnly,
    exceptions.AttributeSensitive,
    exceptions.AttributeTypeInvalid,
    exceptions.AttributeValueInvalid,
    exceptions.DataInvalid,
    exceptions.DataLenRange,
    exceptions.DomainParamsInvalid,
    exceptions.FunctionNotSupported,
    exceptions.KeySizeRange,
    exceptions.KeyTypeInconsistent,
    exceptions.MechanismInvalid,
    exceptions.MechanismParamInvalid,
    exceptions.MultipleTokensReturned,
    exceptions.SessionReadOnly,
    exceptions.TemplateIncomplete,
    exceptions.TemplateInconsistent,
    exceptions.TokenWriteProtected,
)
"""What a token answers to a call that it understood and will answer the same way again.

Whatever else it answers may come of its having been removed, reset or restarted under an open session, codes of its
vendor's own among them: the session is not used again, and the module is begun anew.
"""


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


_standings: dict[tuple[str, str], _Standing] = {}
"""By module and token: the process's, as its login is."""
_modules: dict[str, TokenModule] = {}
_modules_lock = threading.Lock()


def _module(path: str) -> TokenModule:
    with _modules_lock:
        return _modules.setdefault(path, TokenModule(path))


def _before_fork() -> None:
    _modules_lock.acquire()
    for module in _modules.values():
        module.before_fork()


def _after_fork_in_parent() -> None:
    for module in _modules.values():
        module.after_fork_in_parent()
    _modules_lock.release()


def _after_fork_in_child() -> None:
    _standings.clear()
    for module in _modules.values():
        module.after_fork_in_child()
    _modules_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@dataclass(frozen=True, slots=True)
class _Failed:
    """A call that the token did not answer, in that epoch."""

    epoch: int
    error: Exception


@dataclass(frozen=True, slots=True)
class _Answered(Generic[T]):
    result: T


class TokenConnection:
    """Runs operations on a token, a few at one time, each with a session of its own."""

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
        """Changes whenever object handles found earlier are void; not within an operation."""
        return self._module.epoch

    def health(self) -> KeyStoreHealth:
        """How the token answered so far. Waits for no call that is under way."""
        now, standing = self._monotonic(), _standings.get(self._place)
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

    def run(self, operation: Callable[[Seat], T]) -> T:
        """The operation's result; tried once more on a new session where the token has gone away and come back.

        For operations that may be repeated. Raises: Unavailable, ConfigurationError, KeyStoreFault, whatever the
        operation raises.
        """
        self._verify_not_left_alone()
        outcome = self._tried(operation)
        if isinstance(outcome, _Failed):
            self._module.restart(after=outcome.epoch)
            outcome = self._tried(operation)
        return self._answered(outcome)

    def run_once(self, operation: Callable[[Seat], T]) -> T:
        """The same without a second try, for operations that leave something behind."""
        self._verify_not_left_alone()
        return self._answered(self._tried(operation))

    @property
    def _place(self) -> tuple[str, str]:
        return self._module.path, self._token_label

    def _tried(self, operation: Callable[[Seat], T]) -> _Answered[T] | _Failed:
        while True:
            epoch = self._module.epoch
            try:
                with self._module.inside() as epoch:
                    seat = self._module.take_seat(self._token_label, self._pin)
                    try:
                        result = operation(seat)
                    except exceptions.PKCS11Error as error:
                        if isinstance(error, _OF_THE_CALL):
                            self._module.give_back(self._token_label, seat)
                        raise
                    except BaseException:
                        self._module.give_back(self._token_label, seat)
                        raise
                    self._module.give_back(self._token_label, seat)
                    return _Answered(result)
            except NoSeat:
                continue
            except PinRefused as refused:
                raise self._refused(refused) from refused
            except _OF_THE_CALL as error:
                raise KeyStoreFault(f"the token {self._token_label}: {type(error).__name__}") from error
            except exceptions.PKCS11Error as error:
                return _Failed(epoch, error)

    def _verify_not_left_alone(self) -> None:
        """Refuses at once while a token that failed again and again is left alone. Raises: Unavailable."""
        standing = _standings.get(self._place)
        if standing is not None and self._monotonic() < standing.retry_at:
            raise Unavailable(f"the token {self._token_label}: {standing.detail}, left alone for a while")

    def _answered(self, outcome: _Answered[T] | _Failed) -> T:
        if isinstance(outcome, _Failed):
            raise self._unanswered(outcome.error) from outcome.error
        standing = _standings.get(self._place)
        if standing is None or standing.state is not KeyStoreState.READY:
            _standings[self._place] = _Standing(KeyStoreState.READY, self._monotonic())
        return outcome.result

    def _refused(self, refused: PinRefused) -> ConfigurationError:
        """No pause: the same PIN is not shown to the token again, however often it is asked for."""
        detail = f"{refused}: correct the PIN (or the token) and start again; it is not tried a second time"
        standing = _standings.get(self._place)
        if refused.by_token and (standing is None or standing.detail != detail):
            _standings[self._place] = _Standing(KeyStoreState.AWAY, self._monotonic(), failures=1, detail=detail)
        return ConfigurationError(f"the token {self._token_label}: {detail}")

    def _unanswered(self, error: Exception) -> Unavailable:
        now, kind = self._monotonic(), type(error).__name__
        standing = _standings.get(self._place)
        if standing is None or standing.state is not KeyStoreState.AWAY:
            standing = _standings[self._place] = _Standing(KeyStoreState.AWAY, now)
        standing.failures += 1
        standing.detail = kind
        if standing.failures >= FREE_FAILURES:
            doublings = min(standing.failures - FREE_FAILURES, 10)
            standing.retry_at = now + min(FIRST_PAUSE_S * 2**doublings, LONGEST_PAUSE_S)
        return Unavailable(f"the token {self._token_label}: {kind}")
