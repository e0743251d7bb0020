"""Keys, algorithms and readers, as the rest of the bridge names them."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Slot(StrEnum):
    """A key on the card, by its PIV key reference in hexadecimal."""

    AUTHENTICATION = "9A"
    SIGNATURE = "9C"
    ENCRYPTION = "9D"
    CARD_AUTHENTICATION = "9E"

    @property
    def reference(self) -> int:
        """The octet that stands for this key in P2."""
        return int(self.value, 16)


class KeyAlgorithm(StrEnum):
    """Kinds of keys that citizens' cards have."""

    RSA_2048 = "rsa2048"
    P_256 = "p256"
    P_384 = "p384"

    @property
    def reference(self) -> "AlgorithmReference":
        return _REFERENCES[self]

    @property
    def coordinate_size(self) -> int:
        """Octets of a curve's field element; 0 for RSA."""
        return {KeyAlgorithm.P_256: 32, KeyAlgorithm.P_384: 48}.get(self, 0)


class AlgorithmReference(IntEnum):
    """The octet that stands for an algorithm in P1 (SP 800-78-4 table 6-2)."""

    TRIPLE_DES = 0x03
    RSA_1024 = 0x06
    RSA_2048 = 0x07
    AES_128 = 0x08
    AES_192 = 0x0A
    AES_256 = 0x0C
    P_256 = 0x11
    P_384 = 0x14


_REFERENCES = {
    KeyAlgorithm.RSA_2048: AlgorithmReference.RSA_2048,
    KeyAlgorithm.P_256: AlgorithmReference.P_256,
    KeyAlgorithm.P_384: AlgorithmReference.P_384,
}


class SignatureAlgorithm(StrEnum):
    """How a digest is signed, by its JOSE and Web eID name."""

    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"

    @property
    def hash_name(self) -> str:
        """The name `hashlib` and `cryptography` know the digest by."""
        return "sha384" if self is SignatureAlgorithm.ES384 else "sha256"

    @property
    def digest_size(self) -> int:
        return 48 if self is SignatureAlgorithm.ES384 else 32

    @property
    def key_algorithm(self) -> KeyAlgorithm:
        return {
            SignatureAlgorithm.ES256: KeyAlgorithm.P_256,
            SignatureAlgorithm.ES384: KeyAlgorithm.P_384,
            SignatureAlgorithm.RS256: KeyAlgorithm.RSA_2048,
        }[self]

    @classmethod
    def for_key(cls, algorithm: KeyAlgorithm) -> "SignatureAlgorithm":
        """The one signature algorithm that a card's key of this kind makes here."""
        return next(candidate for candidate in cls if candidate.key_algorithm is algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderState:
    """A reader as its driver names it, and whether a card is in it now.

    token: what the token in it calls itself, where that is a name too (PKCS#11).
    """

    name: str
    card_present: bool
    token: str | None = None

    def is_meant_by(self, wanted: str | None) -> bool:
        """Whether somebody who asks for this name means this reader. None means any."""
        return wanted is None or wanted in (self.name, self.token)
