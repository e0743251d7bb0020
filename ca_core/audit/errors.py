"""What can be wrong with an event, and with the log."""

from enum import StrEnum

from ca_core.kernel.errors import DomainError


class AuditError(DomainError):
    code = "audit_error"


class EventRefused(AuditError):
    """An event that breaks the bounds of the log: a fault of the caller, never of a citizen."""

    code = "audit_event_refused"


class FaultKind(StrEnum):
    """How the log differs from what was written."""

    ALTERED = "altered"  # an event's columns do not give its leaf hash
    REMOVED = "removed"  # an event or a link of the chain is gone
    CHAIN_BROKEN = "chain_broken"  # rows were reordered, or one was replaced together with its leaf hash
    TAIL_CUT = "tail_cut"  # the chain ends before, or elsewhere than, the recorded head
    UNCHAINED = "unchained"  # an event was slipped in below what the sequencer has settled


class AuditLogFault(AuditError):
    """The first fault that verification met. `sequence` is None where the event stands outside the chain."""

    code = "audit_log_fault"

    def __init__(self, kind: FaultKind, *, sequence: int | None, event_id: int | None) -> None:
        super().__init__(f"{kind} at sequence {sequence}, event {event_id}")
        self.kind = kind
        self.sequence = sequence
        self.event_id = event_id
