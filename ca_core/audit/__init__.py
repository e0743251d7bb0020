"""The audit log: append-only events, placed in a Merkle log by a sequencer, verified by recomputing everything."""

from ca_core.audit.errors import (
    AuditError,
    AuditLogFault,
    AuditUnavailable,
    EventRefused,
    LogClosed,
    LogForked,
    LogOpen,
    NoteRefused,
    ProofRefused,
    WitnessRefused,
)
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
    "AuditUnavailable",
    "EventRefused",
    "LogClosed",
    "LogForked",
    "LogOpen",
    "LogReport",
    "NoteRefused",
    "Outcome",
    "ProofRefused",
    "RecordedEvent",
    "WitnessRefused",
    "verify_log",
]
