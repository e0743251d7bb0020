"""The audit log: append-only events, chained by a sequencer, verified by recomputing everything."""

from ca_core.audit.errors import AuditError, AuditLogFault, EventRefused
from ca_core.audit.model import AuditEvent, Outcome, RecordedEvent
from ca_core.audit.sequencer import AuditSequencer
from ca_core.audit.service import AuditLog
from ca_core.audit.verification import LogReport, verify_log

__all__ = [
    "AuditError",
    "AuditEvent",
    "AuditLog",
    "AuditLogFault",
    "AuditSequencer",
    "EventRefused",
    "LogReport",
    "Outcome",
    "RecordedEvent",
    "verify_log",
]
