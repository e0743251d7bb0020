"""Writing events."""

from ca_core.audit import store
from ca_core.audit.errors import AuditUnavailable
from ca_core.audit.model import AuditEvent, RecordedEvent, canonical_detail, leaf_hash
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Transaction
from ca_core.kernel.errors import DomainError
from ca_core.kernel.rng import Rng

_SALT_BYTES = 16


class AuditLog:
    """The log that every act of consequence is written to, in the act's own transaction."""

    def __init__(self, clock: Clock, rng: Rng) -> None:
        self._clock = clock
        self._rng = rng

    def append(self, tx: Transaction, event: AuditEvent) -> None:
        """Records the event with one insert; two logins do not wait for each other here.

        Its place in the log is given later by `AuditSequencer`. Raises: EventRefused; AuditUnavailable, here or
        at the transaction's end, where it cannot be written: whoever must tell before they act does not act then.
        """
        detail = canonical_detail(event)
        at = self._clock()
        salt = self._rng(_SALT_BYTES)
        leaf = leaf_hash(
            at=at,
            name=event.name,
            actor=event.actor,
            outcome=event.outcome.value,
            subject=event.subject,
            request_id=event.request_id,
            detail=detail,
            salt=salt,
        )
        recorded = RecordedEvent(
            id=0,
            at=at,
            name=event.name,
            actor=event.actor,
            outcome=event.outcome,
            subject=event.subject,
            request_id=event.request_id,
            detail=detail,
            salt=salt,
            leaf_hash=leaf,
        )

        def refused(error: Exception) -> AuditUnavailable:
            """A row that is refused (by a trigger, a privilege) is no conflict that another try would solve."""
            return AuditUnavailable(
                f"{event.name}: {error.detail if isinstance(error, DomainError) else type(error).__name__}"
            )

        store.append(tx, recorded, refused)

    def recent(self, tx: Transaction, *, limit: int = 50) -> list[RecordedEvent]:
        """The newest events, newest first, at most `limit` (and never over 1,000)."""
        return store.recent(tx, min(limit, 1_000))
