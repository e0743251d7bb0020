"""Reading the log of status changes: what status, CRLs and whatever a revocation ripples to are made from."""

from collections.abc import Iterator

from ca_core.kernel.database import Row, Transaction
from ca_core.revocation import store
from ca_core.revocation.model import CrlScope, DeltaScope, EntriesSize, StatusChange


class StatusLog:
    """The reading side. The log only grows, its numbers have no gap and follow the order of commits: so the state as
    of a number is always the same, and whoever has read up to a number has missed nothing."""

    def head(self, tx: Transaction) -> int:
        """The number of the latest change, 0 in an empty log."""
        return store.head_sequence(tx)

    def hold(self, tx: Transaction) -> int:
        """As `head`; it stays so until the transaction ends, and others who hold it wait. In a write transaction."""
        return store.hold_head(tx)

    def latest(self, tx: Transaction, certificate_id: int) -> StatusChange | None:
        """A certificate's latest change, by one indexed statement; None where it was always good."""
        return store.latest(tx, certificate_id)

    def history(self, tx: Transaction, certificate_id: int) -> list[StatusChange]:
        """All changes of one certificate, oldest first."""
        return store.of_certificate(tx, certificate_id)

    def changes_after(self, tx: Transaction, sequence: int, *, limit: int = 1_000) -> list[StatusChange]:
        """What was decided after a number, by anyone, at most `limit`."""
        return store.changes_after(tx, sequence, limit)

    def measure(self, tx: Transaction, scope: CrlScope | DeltaScope) -> list[EntriesSize]:
        """The sizes of what `entries` yields, shard by shard."""
        if isinstance(scope, DeltaScope):
            rows = store.changed_sizes(
                tx, authority_id=scope.authority_id, after=scope.base_through, through=scope.through
            )
        else:
            rows = store.listed_sizes(
                tx,
                authority_id=scope.authority_id,
                through=scope.through,
                expired_before=scope.previous_at,
                since_seq=scope.previous_through,
            )
        return [EntriesSize(shard=shard, entries=int(count), octets=int(octets)) for shard, count, octets in rows]

    def entries(self, tx: Transaction, scope: CrlScope | DeltaScope) -> Iterator[list[Row]]:
        """(sequence, entry's DER, shard), some thousands at a time. Suspended certificates are listed: certificateHold.

        The list as of a number is a function of the log, so it is the same whatever happens between two pages.
        """
        if isinstance(scope, DeltaScope):
            return store.changed_entries(
                tx, authority_id=scope.authority_id, after=scope.base_through, through=scope.through
            )
        return store.listed_entries(
            tx,
            authority_id=scope.authority_id,
            through=scope.through,
            expired_before=scope.previous_at,
            since_seq=scope.previous_through,
        )

    def by_certificate(self, tx: Transaction, authority_id: int, through: int) -> Iterator[StatusChange]:
        """Every change, a certificate's together and oldest first, in bounded memory. Only inside a snapshot."""
        return store.by_certificate(tx, authority_id, through)
