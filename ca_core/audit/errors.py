"""What can be wrong with an event, with the log, and with what is shown as a proof."""

from enum import StrEnum

from ca_core.kernel.errors import DomainError, Unavailable


class AuditError(DomainError):
    code = "audit_error"


class EventRefused(AuditError):
    """An event that breaks the bounds of the log: a fault of the caller, never of a citizen."""

    code = "audit_event_refused"


class AuditUnavailable(Unavailable):
    """An event that could not be written, for whatever reason: the act that it is of does not take place."""


class ProofRefused(AuditError):
    """A Merkle proof that does not prove it, or that cannot be made."""

    code = "audit_proof_refused"


class NoteRefused(AuditError):
    """A signed note, checkpoint or key that is malformed, or that none of the expected keys signed."""

    code = "audit_note_refused"


class WitnessRefused(AuditError):
    """A witness that is known already, or not at all, or a cosignature that is not over a checkpoint of ours."""

    code = "audit_witness_refused"


class LogForked(AuditError):
    """The tree in the database does not continue the last checkpoint that was signed: nothing more is signed."""

    code = "audit_log_forked"


class LogClosed(AuditError):
    """The log ended with a restore, which lost events: nothing more is signed under its name."""

    code = "audit_log_closed"


class LogOpen(AuditError):
    """A new log is begun only where the one before was closed."""

    code = "audit_log_open"


class FaultKind(StrEnum):
    """How the log differs from what was written."""

    ALTERED = "altered"  # an event's columns do not give its leaf hash
    REMOVED = "removed"  # an event, its place or a tile is gone
    TREE_BROKEN = "tree_broken"  # rows were reordered or replaced, or a tile, root or checkpoint says something else
    TAIL_CUT = "tail_cut"  # the log ends before, or elsewhere than, its recorded head or newest checkpoint
    UNSEQUENCED = "unsequenced"  # an event was slipped in below what the sequencer has settled


class AuditLogFault(AuditError):
    """The first fault that verification met. `leaf_index` is None where the event stands outside the tree."""

    code = "audit_log_fault"

    def __init__(self, kind: FaultKind, *, leaf_index: int | None, event_id: int | None = None, what: str = "") -> None:
        super().__init__(f"{kind} at leaf {leaf_index}, event {event_id}" + (f": {what}" if what else ""))
        self.kind = kind
        self.leaf_index = leaf_index
        self.event_id = event_id
