"""The desk: begins operations one at a time, finds them again, ends them for whoever may."""

import hmac
import threading
from collections.abc import Callable

from card_bridge.clock import Monotonic, Rng, random_token
from card_bridge.operations.errors import OperationNotFound, OperationPending, TooSoon
from card_bridge.operations.model import AuthenticationRequest, Policy
from card_bridge.operations.operation import Operation

Spawn = Callable[[Callable[[], None]], None]
"""Runs a call in a thread of its own; a test runs it when it likes."""


def spawn_thread(call: Callable[[], None]) -> None:
    """In a daemon thread, so that a reader that hangs does not keep the program from ending."""
    threading.Thread(target=call, name="card-bridge-card", daemon=True).start()


class OperationDesk:
    """Holds at most one operation that has not ended, and the last one that has until the next begins."""

    def __init__(
        self,
        work: Callable[[Operation], None],
        *,
        policy: Policy,
        monotonic: Monotonic,
        rng: Rng,
        spawn: Spawn = spawn_thread,
    ) -> None:
        self.policy = policy
        self._work = work
        self._monotonic = monotonic
        self._rng = rng
        self._spawn = spawn
        self._lock = threading.Lock()
        self._current: Operation | None = None

    def begin(self, request: AuthenticationRequest) -> Operation:
        """A new operation, already being worked on. Raises: OperationPending, TooSoon."""
        with self._lock:
            self._refuse_unless_free()
            operation = Operation(
                request,
                operation_id=random_token(self._rng),
                consent_id=random_token(self._rng),
                monotonic=self._monotonic,
            )
            self._current = operation
        self._spawn(lambda: self._work(operation))
        return operation

    def check_free(self) -> None:
        """Refuse early what `begin` would refuse, before anything is fetched. Raises: OperationPending, TooSoon."""
        with self._lock:
            self._refuse_unless_free()

    def _refuse_unless_free(self) -> None:
        current = self._current
        if current is None:
            return
        current.expire_if_due()
        if current.ended_at is None:
            raise OperationPending
        wait_s = current.ended_at + self.policy.minimum_interval_s - self._monotonic()
        if wait_s > 0:
            raise TooSoon(wait_s)

    @property
    def pending(self) -> bool:
        with self._lock:
            if self._current is None:
                return False
            self._current.expire_if_due()
            return self._current.ended_at is None

    def find(self, operation_id: str, origin: str) -> Operation:
        """The operation of that id, for the origin that began it. Raises: OperationNotFound."""
        with self._lock:
            current = self._current
        if current is None or not _equal(current.operation_id, operation_id) or current.request.origin != origin:
            raise OperationNotFound
        return current

    def find_by_consent(self, consent_id: str) -> Operation:
        """The operation that a consent window belongs to. Raises: OperationNotFound."""
        with self._lock:
            current = self._current
        if current is None or not _equal(current.consent_id, consent_id):
            raise OperationNotFound
        return current


def _equal(secret: str, presented: str) -> bool:
    return hmac.compare_digest(secret.encode("ascii"), presented.encode("utf-8", "surrogatepass"))
