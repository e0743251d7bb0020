"""A statement with the provider's signature, and what is derived from its octets."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from ca_core.statement.model import Statement
from ca_core.statement.wire import parse_compact


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """The compact serialisation, its statement, and D.

    digest: D, SHA-256 over the compact serialisation's ASCII octets; computed, never given.
    """

    compact: str
    statement: Statement
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.compact))

    @classmethod
    def from_own_record(cls, compact: str) -> "SignedStatement":
        """A statement that this provider itself signed and stored: the grammar is checked, the signature is not."""
        return cls(compact=compact, statement=parse_compact(compact).statement)

    @property
    def challenge_nonce(self) -> str:
        """What a Web eID client signs: D in standard base64, 44 characters."""
        return challenge_nonce_of(self.digest)

    @property
    def code(self) -> str:
        """The four digits that both screens show."""
        return code_of(self.digest)

    @property
    def issued_at(self) -> datetime:
        return datetime.fromtimestamp(self.statement.iat, UTC)

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.statement.exp, UTC)


def digest_of(compact: str) -> bytes:
    """D of a compact serialisation (ASCII)."""
    return sha256(compact.encode("ascii")).digest()


def challenge_nonce_of(digest: bytes) -> str:
    """D as a Web eID challenge nonce: standard base64, 44 characters."""
    return b64encode(digest).decode("ascii")


def code_of(digest: bytes) -> str:
    """The last two octets of SHA-256(D), big-endian, modulo 10000, as four digits."""
    return f"{int.from_bytes(sha256(digest).digest()[-2:], 'big') % 10_000:04d}"
