"""Issuance: request -> checked -> linted -> intent recorded -> signed -> recorded."""

from ca_core.issuance.errors import (
    IssuanceError,
    IssuanceRefused,
    KeyBlocked,
    KeyRefused,
    KeyReused,
    LintRefused,
    PossessionNotProven,
    ProfileNotAllowed,
    RequestIdReused,
    RequestMalformed,
)
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate, RecoveryReport
from ca_core.issuance.service import IssuanceService
from ca_core.issuance.store import CertificateStore

__all__ = [
    "CertificateStore",
    "IssuanceError",
    "IssuanceRefused",
    "IssuanceRequest",
    "IssuanceService",
    "IssuedCertificate",
    "KeyBlocked",
    "KeyRefused",
    "KeyReused",
    "LintRefused",
    "PossessionNotProven",
    "ProfileNotAllowed",
    "RecoveryReport",
    "RequestIdReused",
    "RequestMalformed",
]
