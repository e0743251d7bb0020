"""Giving events their place in the chain."""

from contextlib import suppress
from datetime import timedelta

from ca_core.audit import store
from ca_core.audit.model import link_hash
from ca_core.audit.store import Head
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict

GRACE = timedelta(seconds=120)
"""How long after its event was written a transaction may still commit. PostgreSQL gives ids before the commit, so a
lower id may appear after a higher one; within this time the sequencer still looks for it."""

BATCH = 10_000


class AuditSequencer:
    """Chains events that have no sequence number yet. Any number of workers may run one: the head row is their lock."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run_once(self) -> int:
        """Chains one batch and returns how many events that were. At most BATCH, in one transaction."""
        return self._run(sweep=False)

    def sweep(self) -> int:
        """As `run_once`, but looks through the whole log for events that committed after GRACE. Costs a full scan."""
        return self._run(sweep=True)

    def _run(self, *, sweep: bool) -> int:
        self._ensure_head()
        with self._database.write() as tx:
            head = store.lock_head(tx)
            if head is None:
                raise Conflict("the head of the audit chain is gone")
            batch = store.waiting(tx, after=0 if sweep else head.settled_event_id, limit=BATCH)
            if not batch:
                return 0
            sequence, running = head.sequence, bytes(head.chain_hash)
            links: list[dict[str, object]] = []
            for event_id, _, leaf in batch:
                sequence += 1
                running = link_hash(running, sequence, event_id, leaf)
                links.append({"seq": sequence, "event_id": event_id, "chain_hash": running})
            store.link_all(tx, links)
            settled = self._settled(tx, head, batch[-1][0])
            store.move_head(tx, Head(sequence, running, settled))
            return len(batch)

    def _settled(self, tx: Transaction, head: Head, last: int) -> int:
        return store.last_settled(tx, after=head.settled_event_id, up_to=last, before=self._clock() - GRACE)

    def _ensure_head(self) -> None:
        with self._database.read() as tx:
            if store.read_head(tx) is not None:
                return
        with suppress(Conflict), self._database.write() as tx:
            store.make_head(tx)
