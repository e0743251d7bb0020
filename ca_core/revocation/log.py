"""Reading the log of status changes: what status, CRLs and whatever a revocation ripples to are made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ca_core.kernel.database import Transaction
from ca_core.revocation import store
from ca_core.revocation.model import StatusChange


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlScope:
    """Which entries a complete CRL of one authority has, as of one place in the log.

    through: the last change that counts. previous_at, previous_through: thisUpdate and `through` of the complete CRL
    before. An entry stays until it was on one CRL issued after its certificate's expiry (RFC 5280 s3.3).
    """

    authority_id: int
    through: int
    previous_at: datetime
    previous_through: int


class StatusLog:
    """The reading side. The log only grows, its numbers have no gap and follow the order of commits: so the state as
    of a number is always the same, and whoever has read up to a number has missed nothing."""

    def head(self, tx: Transaction) -> int:
        """The number of the latest change, 0 in an empty log."""
        return store.head_sequence(tx)

    def latest(self, tx: Transaction, certificate_id: int) -> StatusChange | None:
        """A certificate's latest change, by one indexed statement; None where it was always good."""
        return store.latest(tx, certificate_id)

    def history(self, tx: Transaction, certificate_id: int) -> list[StatusChange]:
        """All changes of one certificate, oldest first."""
        return store.of_certificate(tx, certificate_id)

    def changes_after(self, tx: Transaction, sequence: int, *, limit: int = 1_000) -> list[StatusChange]:
        """What was decided after a number, by anyone, at most `limit`."""
        return store.changes_after(tx, sequence, limit)

    def measure(self, tx: Transaction, scope: CrlScope) -> tuple[int, int]:
        """How many entries `entries` yields, and their octets in total."""
        return store.entries_size(
            tx,
            authority_id=scope.authority_id,
            through=scope.through,
            expired_before=scope.previous_at,
            since_seq=scope.previous_through,
        )

    def entries(self, tx: Transaction, scope: CrlScope) -> Iterator[bytes]:
        """The DER of the CRL's entries in runs of some thousands. Suspended certificates are on it: certificateHold."""
        return store.entries(
            tx,
            authority_id=scope.authority_id,
            through=scope.through,
            expired_before=scope.previous_at,
            since_seq=scope.previous_through,
        )
