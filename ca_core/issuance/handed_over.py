"""A certificate file that somebody hands over: another authority's, or what it made of a request."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ca_core.keys.model import PublicKey

MAX_CERTIFICATE_BYTES = 16_384


def read_certificate(octets: bytes) -> tuple[x509.Certificate, PublicKey]:
    """A DER or PEM certificate whose extensions and key can be read, with a positive serial. Believes nothing in it.

    Raises: ValueError, whose message says in a word what is wrong.
    """
    if not 0 < len(octets) <= MAX_CERTIFICATE_BYTES:
        raise ValueError("size")
    try:
        is_pem = octets.lstrip().startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(octets) if is_pem else x509.load_der_x509_certificate(octets)
        certificate.extensions  # noqa: B018 - read for its errors
        public_key = certificate.public_key()
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise ValueError(type(error).__name__) from error
    if not isinstance(public_key, PublicKey) or certificate.serial_number <= 0:
        raise ValueError("key type or serial")
    return certificate, public_key


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name stands in it and its key signed it, by an algorithm that is known here."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
