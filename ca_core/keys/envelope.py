"""PKCS#8 encryption under scrypt. cryptography's own best choice is PBKDF2 with 2,048 rounds: too few for a passphrase.

Spec: RFC 5958 (EncryptedPrivateKeyInfo), RFC 8018 (PBES2), RFC 7914 s7 (scrypt in PBES2). OpenSSL reads it.
"""

from asn1crypto.core import Any, Integer, ObjectIdentifier, OctetString, Sequence
from asn1crypto.pem import armor
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_core.kernel.rng import Rng
from ca_core.keys.model import PrivateKey

COST, BLOCK_SIZE, PARALLELISM = 2**14, 8, 5
"""16 MiB and about 0.2 s a try; OpenSSL's own memory limit would refuse twice the memory."""
_KEY_BYTES = 32
_PBES2, _SCRYPT, _AES256_CBC = "1.2.840.113549.1.5.13", "1.3.6.1.4.1.11591.4.11", "2.16.840.1.101.3.4.1.42"


class _Algorithm(Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields = [("algorithm", ObjectIdentifier), ("parameters", Any)]  # noqa: RUF012 - asn1crypto's way


class _ScryptParameters(Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields = [  # noqa: RUF012 - asn1crypto's way
        ("salt", OctetString),
        ("cost_parameter", Integer),
        ("block_size", Integer),
        ("parallelization_parameter", Integer),
        ("key_length", Integer),
    ]


class _Pbes2Parameters(Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields = [("key_derivation", _Algorithm), ("encryption", _Algorithm)]  # noqa: RUF012 - asn1crypto's way


class _Envelope(Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields = [("algorithm", _Algorithm), ("sealed", OctetString)]  # noqa: RUF012 - asn1crypto's way


def seal_private_key(key: PrivateKey, passphrase: bytes, rng: Rng) -> bytes:
    """The key as `ENCRYPTED PRIVATE KEY` in PEM."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, initial = rng(16), rng(16)
    secret = Scrypt(salt=salt, length=_KEY_BYTES, n=COST, r=BLOCK_SIZE, p=PARALLELISM).derive(passphrase)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(secret), modes.CBC(initial)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    scrypt = _ScryptParameters(
        {
            "salt": salt,
            "cost_parameter": COST,
            "block_size": BLOCK_SIZE,
            "parallelization_parameter": PARALLELISM,
            "key_length": _KEY_BYTES,
        }
    )
    scheme = _Pbes2Parameters(
        {
            "key_derivation": {"algorithm": _SCRYPT, "parameters": scrypt},
            "encryption": {"algorithm": _AES256_CBC, "parameters": OctetString(initial)},
        }
    )
    envelope = _Envelope({"algorithm": {"algorithm": _PBES2, "parameters": scheme}, "sealed": sealed})
    pem: bytes = armor("ENCRYPTED PRIVATE KEY", envelope.dump())
    return pem
