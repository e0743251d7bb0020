"""Revocation, suspension and resumption: one append-only log of status changes, in the order of their commits."""

from ca_core.revocation.errors import (
    AlreadyRevoked,
    AlreadySuspended,
    CertificateNotFound,
    InvalidityDateRefused,
    NotSuspended,
    ReasonRefused,
    RevocationError,
)
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import Change, RevocationReason, StatusChange
from ca_core.revocation.service import ChangeCommand, RevocationService

__all__ = [
    "AlreadyRevoked",
    "AlreadySuspended",
    "CertificateNotFound",
    "Change",
    "ChangeCommand",
    "InvalidityDateRefused",
    "NotSuspended",
    "ReasonRefused",
    "RevocationError",
    "RevocationReason",
    "RevocationService",
    "StatusChange",
    "StatusLog",
]
