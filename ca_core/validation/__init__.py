"""Whether a presented certificate may do what it is presented for: from local data alone."""

from ca_core.validation.errors import (
    CertificateExpired,
    CertificateMalformed,
    CertificateNotYetValid,
    CertificateRefused,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUnknown,
    CertificateUnknownIssuer,
    CertificateWrongProfile,
)
from ca_core.validation.model import Purpose, ValidatedCertificate
from ca_core.validation.service import CertificateValidator

__all__ = [
    "CertificateExpired",
    "CertificateMalformed",
    "CertificateNotYetValid",
    "CertificateRefused",
    "CertificateRevoked",
    "CertificateSuspended",
    "CertificateUnknown",
    "CertificateUnknownIssuer",
    "CertificateValidator",
    "CertificateWrongProfile",
    "Purpose",
    "ValidatedCertificate",
]
