"""What the log needs from outside."""

from typing import Protocol

from ca_core.audit.note import VerifierKey


class LogKey(Protocol):
    """The Ed25519 key that signs checkpoints."""

    @property
    def verifier_key(self) -> VerifierKey:
        """Its public half; the name is the log's origin."""
        ...

    def sign(self, octets: bytes) -> bytes:
        """The 64 octets of a signature. Raises: Unavailable."""
        ...

    def last_signed(self) -> bytes | None:
        """The note that was remembered last, kept apart from the database; None before the first."""
        ...

    def remember(self, note: bytes) -> None:
        """Keeps a note durably, before anybody sees it. Raises: Unavailable."""
        ...
