"""What is said about a certificate's status: live, in CRLs, by OCSP."""

from ca_core.status.crl import CrlArchive, CrlService
from ca_core.status.errors import StatusError
from ca_core.status.model import CertificateState, CertificateStatus, CrlRecord, CrlSettings, OcspSettings, Responder
from ca_core.status.ocsp import OcspAnswer, OcspResponder
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService

__all__ = [
    "CertificateState",
    "CertificateStatus",
    "CrlArchive",
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
]
