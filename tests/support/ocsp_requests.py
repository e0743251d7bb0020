"""OCSP requests as clients send them."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuedCertificate

SHA1 = hashes.SHA1()  # noqa: S303 - what clients name issuers by


def ocsp_request(
    issued: IssuedCertificate, issuer: Authority, *, nonce: bytes | None = None, by: hashes.HashAlgorithm = SHA1
) -> bytes:
    """An OCSPRequest about one certificate, DER."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issuer.certificate, by)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.build().public_bytes(Encoding.DER)
