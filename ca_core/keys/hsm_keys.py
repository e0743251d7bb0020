"""Private keys that stay in an HSM, in the form that cryptography's certificate, CRL and OCSP builders take."""

from collections.abc import Callable
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, KeySerializationEncryption, PrivateFormat
from cryptography.utils import Buffer

from ca_core.keys.errors import KeyStoreFault

RawSign = Callable[[bytes], bytes]
"""Signs in the HSM: for RSA a DigestInfo (CKM_RSA_PKCS), for EC a digest (CKM_ECDSA, answered as r || s)."""

_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
"""The DER of DigestInfo up to the digest. Spec: RFC 8017 s9.2, note 1."""
_HASH_OF_SIZE: dict[int, hashes.HashAlgorithm] = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}


class HsmRsaPrivateKey(rsa.RSAPrivateKey):
    """Signs PKCS#1 v1.5 with SHA-256, SHA-384 or SHA-512; can do nothing else."""

    def __init__(self, public_key: rsa.RSAPublicKey, raw_sign: RawSign) -> None:
        self._public_key = public_key
        self._raw_sign = raw_sign

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def sign(
        self,
        data: bytes,
        padding: AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> bytes:
        if not isinstance(padding, _PKCS1) or isinstance(algorithm, NoDigestInfo):
            raise UnsupportedAlgorithm("the HSM's RSA keys sign PKCS#1 v1.5 with a DigestInfo")
        name, digest = _digest(data, algorithm)
        return self._raw_sign(_DIGEST_INFO[name] + digest)

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> NoReturn:
        raise UnsupportedAlgorithm("the HSM's keys only sign")

    def private_numbers(self) -> NoReturn:
        raise UnsupportedAlgorithm("the key stays in the HSM")

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> NoReturn:
        raise UnsupportedAlgorithm("the key stays in the HSM")

    def __copy__(self) -> "HsmRsaPrivateKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "HsmRsaPrivateKey":
        return self


class HsmEcPrivateKey(ec.EllipticCurvePrivateKey):
    """Signs ECDSA with SHA-256, SHA-384 or SHA-512; can do nothing else."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, raw_sign: RawSign) -> None:
        self._public_key = public_key
        self._raw_sign = raw_sign

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm, ec.ECDSA):
            raise UnsupportedAlgorithm("the HSM's EC keys sign ECDSA")
        _, digest = _digest(data, signature_algorithm.algorithm)
        raw = self._raw_sign(digest)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        raise UnsupportedAlgorithm("the HSM's keys only sign")

    def private_numbers(self) -> NoReturn:
        raise UnsupportedAlgorithm("the key stays in the HSM")

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> NoReturn:
        raise UnsupportedAlgorithm("the key stays in the HSM")

    def __copy__(self) -> "HsmEcPrivateKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "HsmEcPrivateKey":
        return self


_PKCS1 = padding.PKCS1v15


def verify_raw_signature(public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, data: bytes, raw: bytes) -> None:
    """What a `RawSign` answered is a signature of its key over what it was given. Raises: KeyStoreFault."""
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            if public_key.recover_data_from_signature(raw, padding.PKCS1v15(), None) != data:
                raise InvalidSignature
        else:
            half = len(raw) // 2
            signature = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
            public_key.verify(signature, data, ec.ECDSA(Prehashed(_HASH_OF_SIZE[len(data)])))
    except (InvalidSignature, ValueError, KeyError) as error:
        raise KeyStoreFault("the token signed with another key than the one that was meant") from error


def _digest(data: Buffer, algorithm: Prehashed | hashes.HashAlgorithm) -> tuple[str, bytes]:
    """The hash's name, and the digest: computed here, or given where the caller hashed already."""
    if isinstance(algorithm, Prehashed):
        name, digest = algorithm._algorithm.name, bytes(data)
        if len(digest) != algorithm._algorithm.digest_size:
            raise ValueError("the digest does not have the hash's length")
    else:
        name, state = algorithm.name, hashes.Hash(algorithm)
        state.update(data)
        digest = state.finalize()
    if name not in _DIGEST_INFO:
        raise UnsupportedAlgorithm(f"the HSM's keys do not sign {name}")
    return name, digest
