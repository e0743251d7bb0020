"""Algorithms, labels and names of keys. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import SubjectKeyIdentifier

from ca_core.keys.errors import KeyAlgorithmRefused, KeyLabelRefused

MlDsaPrivateKey = mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
MlDsaPublicKey = mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
"""FIPS 204, in software: for a chain beside the others, until tokens, cards and readers know it."""
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | MlDsaPrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | MlDsaPublicKey

PUBLIC_EXPONENT = 65537
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class KeyAlgorithm(StrEnum):
    """The keys that are made and certified here."""

    RSA_2048 = "rsa2048"
    RSA_3072 = "rsa3072"
    RSA_4096 = "rsa4096"
    P_256 = "p256"
    P_384 = "p384"
    ML_DSA_65 = "mldsa65"
    ML_DSA_87 = "mldsa87"

    @property
    def is_rsa(self) -> bool:
        return self in RSA_SIZES

    @property
    def is_ml_dsa(self) -> bool:
        return self in ML_DSA_KEYS

    @property
    def size_bits(self) -> int:
        """The modulus' or the curve's size; of ML-DSA the encoded public key's."""
        if self.is_ml_dsa:
            return {KeyAlgorithm.ML_DSA_65: 1_952, KeyAlgorithm.ML_DSA_87: 2_592}[self] * 8
        return RSA_SIZES[self] if self.is_rsa else CURVES[self]().key_size


RSA_SIZES = {KeyAlgorithm.RSA_2048: 2048, KeyAlgorithm.RSA_3072: 3072, KeyAlgorithm.RSA_4096: 4096}
CURVES: dict[KeyAlgorithm, type[ec.EllipticCurve]] = {
    KeyAlgorithm.P_256: ec.SECP256R1,
    KeyAlgorithm.P_384: ec.SECP384R1,
}
ML_DSA_KEYS: dict[KeyAlgorithm, type[MlDsaPrivateKey]] = {
    KeyAlgorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey,
    KeyAlgorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey,
}
_BY_RSA_SIZE = {size: algorithm for algorithm, size in RSA_SIZES.items()}
_BY_CURVE = {curve().name: algorithm for algorithm, curve in CURVES.items()}


class KeyStoreState(StrEnum):
    """unused: not asked yet. ready: the last call was answered. away: it was not; it is asked again by itself."""

    UNUSED = "unused"
    READY = "ready"
    AWAY = "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStoreHealth:
    """What a readiness page shows. failures: in a row. for_s: in this state; retry_in_s: until calls are let through.

    restarts: how often the module was initialised again. detail: the last failure's kind, without anything secret.
    """

    state: KeyStoreState
    for_s: float
    failures: int = 0
    retry_in_s: float = 0.0
    restarts: int = 0
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        return self.state is not KeyStoreState.AWAY


def verify_label(label: str) -> None:
    """Accepts 1-64 of a-z, 0-9 and hyphens, no hyphen at either end: safe as a file name. Raises: KeyLabelRefused."""
    if not _LABEL.fullmatch(label):
        raise KeyLabelRefused("1-64 of a-z, 0-9 and hyphens, no hyphen at either end")


def key_algorithm_of(key: PrivateKey | PublicKey) -> KeyAlgorithm:
    """The algorithm and size of a key. Raises: KeyAlgorithmRefused, for any that is not listed."""
    if isinstance(key, mldsa.MLDSA65PrivateKey | mldsa.MLDSA65PublicKey):
        return KeyAlgorithm.ML_DSA_65
    if isinstance(key, mldsa.MLDSA87PrivateKey | mldsa.MLDSA87PublicKey):
        return KeyAlgorithm.ML_DSA_87
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        found = _BY_RSA_SIZE.get(key.key_size)
    else:
        found = _BY_CURVE.get(key.curve.name)
    if found is None:
        raise KeyAlgorithmRefused(f"{type(key).__name__} of {key.key_size} bits")
    return found


def new_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A key in this process's memory."""
    if algorithm in RSA_SIZES:
        return rsa.generate_private_key(PUBLIC_EXPONENT, RSA_SIZES[algorithm])
    if algorithm in ML_DSA_KEYS:
        return ML_DSA_KEYS[algorithm].generate()
    return ec.generate_private_key(CURVES[algorithm]())


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
    """What the subjectPublicKey BIT STRING holds: PKCS#1 for RSA, the uncompressed point for EC, or ML-DSA's octets."""
    if isinstance(key, MlDsaPublicKey):
        return key.public_bytes_raw()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
