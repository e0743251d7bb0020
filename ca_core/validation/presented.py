"""A presented certificate's parts, read once, from untrusted octets."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning

from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import PublicKey, key_algorithm_of
from ca_core.validation.errors import CertificateMalformed

MAX_CERTIFICATE_BYTES = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCertificate:
    """Parsed, but nothing of it is verified. issuer_key_identifier: what its AuthorityKeyIdentifier claims."""

    der: bytes
    certificate: x509.Certificate
    public_key: PublicKey
    issuer_key_identifier: bytes | None
    serial: int
    not_before: datetime
    not_after: datetime
    key_usage: x509.KeyUsage | None
    extended_key_usage: frozenset[str] | None
    policies: frozenset[str]
    is_ca: bool


def parse_presented_certificate(untrusted: bytes) -> PresentedCertificate:
    """Raises: CertificateMalformed, also for keys that nothing here certifies."""
    if not 0 < len(untrusted) <= MAX_CERTIFICATE_BYTES:
        raise CertificateMalformed("size")
    try:
        certificate = x509.load_der_x509_certificate(untrusted)
        if certificate.version is not x509.Version.v3 or certificate.serial_number <= 0:
            raise CertificateMalformed("version or serial")
        return _read(untrusted, certificate)
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        CryptographyDeprecationWarning,  # where warnings are errors: a serial that is not positive, refused either way
        KeyAlgorithmRefused,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise CertificateMalformed(type(error).__name__) from error


def _read(der: bytes, certificate: x509.Certificate) -> PresentedCertificate:
    public_key = certificate.public_key()
    if not isinstance(public_key, PublicKey):
        raise CertificateMalformed("key type")
    key_algorithm_of(public_key)
    for name in (certificate.subject, certificate.issuer):  # read lazily: a malformed one is refused here
        list(name)
    authority_key = None
    key_usage = None
    purposes = None
    policies: frozenset[str] = frozenset()
    is_ca = False
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.AuthorityKeyIdentifier):
            authority_key = value.key_identifier
        elif isinstance(value, x509.KeyUsage):
            key_usage = value
        elif isinstance(value, x509.ExtendedKeyUsage):
            purposes = frozenset(purpose.dotted_string for purpose in value)
        elif isinstance(value, x509.CertificatePolicies):
            policies = frozenset(policy.policy_identifier.dotted_string for policy in value)
        elif isinstance(value, x509.BasicConstraints):
            is_ca = value.ca
    return PresentedCertificate(
        der=der,
        certificate=certificate,
        public_key=public_key,
        issuer_key_identifier=authority_key,
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_usage=key_usage,
        extended_key_usage=purposes,
        policies=policies,
        is_ca=is_ca,
    )
