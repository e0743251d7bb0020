"""What is said about a certificate's status: live, in CRLs, by OCSP."""

from ca_core.status.crl import CrlService
from ca_core.status.crl_archive import CrlArchive, crl_overdue
from ca_core.status.errors import StatusError
from ca_core.status.model import (
    CertificateState,
    CertificateStatus,
    CrlKind,
    CrlRecord,
    CrlSettings,
    OcspSettings,
    Responder,
)
from ca_core.status.ocsp import OcspResponder
from ca_core.status.ocsp_answers import OcspAnswer
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService

__all__ = [
    "CertificateState",
    "CertificateStatus",
    "CrlArchive",
    "CrlKind",
    "CrlRecord",
    "CrlService",
    "CrlSettings",
    "OcspAnswer",
    "OcspResponder",
    "OcspSettings",
    "Responder",
    "Responders",
    "StatusError",
    "StatusService",
    "crl_overdue",
]
