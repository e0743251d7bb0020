"""Algorithms, labels and names of keys. Pure."""

import re
from enum import StrEnum
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import SubjectKeyIdentifier

from ca_core.keys.errors import KeyAlgorithmRefused, KeyLabelRefused

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

PUBLIC_EXPONENT = 65537
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class KeyAlgorithm(StrEnum):
    """The keys that are made and certified here."""

    RSA_2048 = "rsa2048"
    RSA_3072 = "rsa3072"
    RSA_4096 = "rsa4096"
    P_256 = "p256"
    P_384 = "p384"

    @property
    def is_rsa(self) -> bool:
        return self in RSA_SIZES

    @property
    def size_bits(self) -> int:
        """The modulus' or the curve's size."""
        return RSA_SIZES[self] if self.is_rsa else CURVES[self]().key_size


RSA_SIZES = {KeyAlgorithm.RSA_2048: 2048, KeyAlgorithm.RSA_3072: 3072, KeyAlgorithm.RSA_4096: 4096}
CURVES: dict[KeyAlgorithm, type[ec.EllipticCurve]] = {
    KeyAlgorithm.P_256: ec.SECP256R1,
    KeyAlgorithm.P_384: ec.SECP384R1,
}
_BY_RSA_SIZE = {size: algorithm for algorithm, size in RSA_SIZES.items()}
_BY_CURVE = {curve().name: algorithm for algorithm, curve in CURVES.items()}


def verify_label(label: str) -> None:
    """Accepts 1-64 of a-z, 0-9 and hyphens, no hyphen at either end: safe as a file name. Raises: KeyLabelRefused."""
    if not _LABEL.fullmatch(label):
        raise KeyLabelRefused("1-64 of a-z, 0-9 and hyphens, no hyphen at either end")


def key_algorithm_of(key: PrivateKey | PublicKey) -> KeyAlgorithm:
    """The algorithm and size of a key. Raises: KeyAlgorithmRefused, for any that is not listed."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        found = _BY_RSA_SIZE.get(key.key_size)
    else:
        found = _BY_CURVE.get(key.curve.name)
    if found is None:
        raise KeyAlgorithmRefused(f"{type(key).__name__} of {key.key_size} bits")
    return found


def key_identifier(key: PublicKey) -> bytes:
    """SHA-1 over the public key's BIT STRING: RFC 5280 s4.2.1.2 method 1, and the CKA_ID of HSM keys. 20 octets."""
    return SubjectKeyIdentifier.from_public_key(key).digest


def key_digest(key: PublicKey) -> str:
    """SHA-256 over the SubjectPublicKeyInfo, 64 hexadecimal digits: what key reuse is looked up by."""
    return sha256(spki_octets(key)).hexdigest()


def spki_octets(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo in DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_key_bits(key: PublicKey) -> bytes:
    """What the subjectPublicKey BIT STRING holds: PKCS#1 for RSA, the uncompressed point for EC."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
