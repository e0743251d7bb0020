"""Giving events their place in the Merkle log."""

from contextlib import suppress
from datetime import timedelta

from ca_core.audit import store, tree_store
from ca_core.audit.errors import AuditLogFault, FaultKind
from ca_core.audit.store import Head
from ca_core.audit.tiles import ENTRY_BYTES, WIDTH, TreeBuilder
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict

GRACE = timedelta(seconds=120)
"""How long after its event was written a transaction may still commit. PostgreSQL gives ids before the commit, so a
lower id may appear after a higher one; within this time the sequencer still looks for it."""

BATCH = 10_000


class AuditSequencer:
    """Integrates events that have no place yet. Any number of workers may run one: the head row is their lock.

    Places, tiles, bundles and head change in one transaction, so that a worker that dies leaves the tree as it was.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run_once(self) -> int:
        """Integrates one batch and returns how many events that were. At most BATCH, in one transaction.

        Raises: AuditLogFault, where the tree's right edge is not what the head says.
        """
        return self._run(sweep=False)

    def sweep(self) -> int:
        """As `run_once`, but looks through the whole log for events that committed after GRACE. Costs a full scan."""
        return self._run(sweep=True)

    def _run(self, *, sweep: bool) -> int:
        if not self._is_anything_waiting(sweep=sweep):
            return 0
        with self._database.write() as tx:
            head = store.lock_head(tx)
            if head is None:
                raise Conflict("the head of the audit log is gone")
            batch = store.waiting(tx, after=0 if sweep else head.settled_event_id, limit=BATCH)
            if not batch:
                return 0
            root = self._grow(tx, head, [leaf for _, _, leaf in batch])
            store.place_all(tx, head.size, [event_id for event_id, _, _ in batch])
            settled = store.last_settled(
                tx, after=head.settled_event_id, up_to=batch[-1][0], before=self._clock() - GRACE
            )
            store.move_head(tx, Head(head.size + len(batch), root, settled))
            return len(batch)

    def _grow(self, tx: Transaction, head: Head, commitments: list[bytes]) -> bytes:
        """Stores what the commitments add to tiles and bundles, and returns the new root."""
        builder = TreeBuilder(head.size, lambda level, position: tree_store.tile(tx, level, position))
        if builder.root() != head.root_hash:
            raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=head.size, what="the right edge")
        for commitment in commitments:
            builder.append(commitment)
        for change in builder.changes():
            put = tree_store.add_tile if change.is_new else tree_store.grow_tile
            put(tx, change.level, change.position, change.hashes)
        _grow_bundles(tx, head.size, b"".join(commitments))
        return builder.root()

    def _is_anything_waiting(self, *, sweep: bool) -> bool:
        """A look without a lock: an idle log is not written to."""
        with self._database.read() as tx:
            head = store.read_head(tx)
            after = 0 if sweep or head is None else head.settled_event_id
            found = bool(store.waiting(tx, after=after, limit=1))
        if head is None:
            with suppress(Conflict), self._database.write() as tx:
                store.make_head(tx)
        return found


def _grow_bundles(tx: Transaction, size: int, commitments: bytes) -> None:
    position, width = divmod(size, WIDTH)
    begun = (tree_store.bundle(tx, position) or b"") if width else b""
    if len(begun) != width * ENTRY_BYTES:
        raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=size, what=f"bundle {position}")
    octets = begun + commitments
    for at in range(0, len(octets), WIDTH * ENTRY_BYTES):
        put = tree_store.grow_bundle if at == 0 and width else tree_store.add_bundle
        put(tx, position + at // (WIDTH * ENTRY_BYTES), octets[at : at + WIDTH * ENTRY_BYTES])
