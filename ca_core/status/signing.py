"""Signatures over CRLs and OCSP answers, by a key here or in an HSM."""

from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ca_core.keys.model import (
    KeyAlgorithm,
    MlDsaPrivateKey,
    MlDsaPublicKey,
    PrivateKey,
    PublicKey,
    key_algorithm_of,
)
from ca_core.status.errors import SigningFault

_RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
_ML_DSA_65 = bytes.fromhex("300b0609608648016503040312")
_ML_DSA_87 = bytes.fromhex("300b0609608648016503040313")


class Hasher(Protocol):
    """What octets go through while they stream by."""

    def update(self, data: bytes) -> None: ...

    def finalize(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a key signs: the AlgorithmIdentifier in DER, and the hash (of ML-DSA, what CMS uses beside it: RFC 9882)."""

    algorithm_identifier: bytes
    hash: hashes.HashAlgorithm


def scheme_of(key: PrivateKey | PublicKey) -> Scheme:
    """RSA: PKCS #1 v1.5 with SHA-256. P-256: SHA-256. P-384: SHA-384. ML-DSA: pure, without context."""
    if isinstance(key, MlDsaPrivateKey | MlDsaPublicKey):
        is_65 = key_algorithm_of(key) is KeyAlgorithm.ML_DSA_65
        return Scheme(_ML_DSA_65 if is_65 else _ML_DSA_87, hashes.SHA512())
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return Scheme(_RSA_SHA256, hashes.SHA256())
    if key.curve.key_size > 256:
        return Scheme(_ECDSA_SHA384, hashes.SHA384())
    return Scheme(_ECDSA_SHA256, hashes.SHA256())


def hasher_of(key: PublicKey) -> Hasher:
    """A new hash for octets that `sign_digest` is to sign; of ML-DSA, its external mu (FIPS 204 s6.2)."""
    if isinstance(key, MlDsaPublicKey):
        return mldsa.MLDSAMuHasher(key)
    return hashes.Hash(scheme_of(key).hash)


def sign_digest(key: PrivateKey, digest: bytes) -> bytes:
    """The signature over octets that went through `hasher_of` its public key while they streamed by."""
    if isinstance(key, MlDsaPrivateKey):
        return key.sign_mu(digest)
    prehashed = Prehashed(scheme_of(key).hash)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, padding.PKCS1v15(), prehashed)
    return key.sign(digest, ec.ECDSA(prehashed))


def sign(key: PrivateKey, octets: bytes) -> bytes:
    """The signature over short octets."""
    if isinstance(key, MlDsaPrivateKey):
        return key.sign(octets)
    scheme = scheme_of(key)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), scheme.hash)
    return key.sign(octets, ec.ECDSA(scheme.hash))


def verify_digest_signature(key: PublicKey, digest: bytes, signature: bytes) -> None:
    """Accepts what `sign_digest` made with the key's private half. Raises: SigningFault."""
    prehashed = Prehashed(scheme_of(key).hash)
    try:
        if isinstance(key, MlDsaPublicKey):
            key.verify_mu(signature, digest)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PKCS1v15(), prehashed)
        else:
            key.verify(signature, digest, ec.ECDSA(prehashed))
    except InvalidSignature as error:
        raise SigningFault("the key store's key is not the certificate's") from error
