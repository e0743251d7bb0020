"""Recomputing the whole log."""

from dataclasses import dataclass

from ca_core.audit import store
from ca_core.audit.errors import AuditLogFault, FaultKind
from ca_core.audit.model import GENESIS, RecordedEvent, leaf_hash, link_hash
from ca_core.kernel.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What a log without fault holds. `waiting` events have no place in the chain yet."""

    chained: int
    waiting: int
    chain_hash: bytes


def verify_log(database: Database) -> LogReport:
    """Recomputes every leaf and every link from one snapshot, in bounded memory.

    1. The links are numbered without a gap. 2. Each link's event is there. 3. Its columns give its leaf hash.
    4. The link follows from the one before. 5. The chain ends at the recorded head. 6. No event stands outside the
    chain among those that the sequencer has settled.
    Raises: AuditLogFault, the first in this order of rows.
    """
    expected, running = 0, GENESIS
    with database.snapshot() as tx:
        for sequence, event_id, recorded, event in store.links(tx):
            expected += 1
            if sequence != expected:
                raise AuditLogFault(FaultKind.REMOVED, sequence=expected, event_id=None)
            if event is None:
                raise AuditLogFault(FaultKind.REMOVED, sequence=sequence, event_id=event_id)
            if _recomputed(event) != event.leaf_hash:
                raise AuditLogFault(FaultKind.ALTERED, sequence=sequence, event_id=event_id)
            running = link_hash(running, sequence, event_id, event.leaf_hash)
            if running != recorded:
                raise AuditLogFault(FaultKind.CHAIN_BROKEN, sequence=sequence, event_id=event_id)
        head = store.read_head(tx)
        if (head is None and expected > 0) or (
            head is not None and (head.sequence != expected or bytes(head.chain_hash) != running)
        ):
            raise AuditLogFault(FaultKind.TAIL_CUT, sequence=expected, event_id=None)
        waiting, lowest = store.count_waiting(tx)
        if lowest is not None and head is not None and lowest <= head.settled_event_id:
            raise AuditLogFault(FaultKind.UNCHAINED, sequence=None, event_id=lowest)
    return LogReport(chained=expected, waiting=waiting, chain_hash=running)


def _recomputed(event: RecordedEvent) -> bytes:
    return leaf_hash(
        at=event.at,
        name=event.name,
        actor=event.actor,
        outcome=event.outcome.value,
        subject=event.subject,
        request_id=event.request_id,
        detail=event.detail,
        salt=event.salt,
    )
