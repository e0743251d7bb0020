"""The Web eID authentication token (format web-eid:1.0) and the octets it signs."""

import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from card_bridge.piv.model import SignatureAlgorithm
from card_bridge.web_eid.errors import KeyUnsupported, NonceMalformed
from card_bridge.web_eid.origin import Origin

TOKEN_FORMAT = "web-eid:1.0"  # noqa: S105 - the name of a format
_NONCE = re.compile(r"[A-Za-z0-9+/]{42,128}={0,2}")
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationToken:
    certificate: bytes  # DER, unverified
    algorithm: SignatureAlgorithm
    signature: bytes  # raw r||s, or RSA PKCS#1 v1.5
    app_version: str

    def to_wire(self) -> dict[str, str]:
        """The JSON members, in the order of the Web eID documentation."""
        return {
            "unverifiedCertificate": b64encode(self.certificate).decode("ascii"),
            "algorithm": self.algorithm.value,
            "signature": b64encode(self.signature).decode("ascii"),
            "format": TOKEN_FORMAT,
            "appVersion": self.app_version,
        }


def parse_nonce(text: str) -> str:
    """The challenge nonce, unchanged. Raises: NonceMalformed unless it is 44..128 characters of standard base64."""
    if not 44 <= len(text) <= 128 or not _NONCE.fullmatch(text):
        raise NonceMalformed
    try:
        octets = b64decode(text, validate=True)
    except ValueError as error:
        raise NonceMalformed from error
    if len(octets) < 32 or b64encode(octets).decode("ascii") != text:
        raise NonceMalformed("fewer than 256 bits, or not the canonical spelling")
    return text


def algorithm_for(certificate: bytes) -> SignatureAlgorithm:
    """The algorithm that the key in a DER certificate signs with. Raises: KeyUnsupported."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise KeyUnsupported("not a certificate, or a key that nothing here knows") from error
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return SignatureAlgorithm.ES256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return SignatureAlgorithm.ES384
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return SignatureAlgorithm.RS256
        case _:
            raise KeyUnsupported(type(key).__name__)


def authentication_digest(origin: Origin, challenge_nonce: str, algorithm: SignatureAlgorithm) -> bytes:
    """hash(hash(origin) || hash(nonce)): what the card's signature operation is given."""
    octets = b"".join(
        hashlib.new(algorithm.hash_name, text.encode("ascii"), usedforsecurity=True).digest()
        for text in (origin, challenge_nonce)
    )
    return hashlib.new(algorithm.hash_name, octets, usedforsecurity=True).digest()
