"""Signing checkpoints: never one that does not continue the one before."""

from contextlib import suppress
from datetime import timedelta

from ca_core.audit import store, tree_store
from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.errors import LogForked
from ca_core.audit.merkle import EMPTY_ROOT
from ca_core.audit.note import Note, parse_note, sign_note, verify_note
from ca_core.audit.origins import FIRST, names_through, verify_open
from ca_core.audit.ports import LogKey
from ca_core.audit.tiles import TiledTree
from ca_core.audit.tree_store import StoredCheckpoint
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict

KEPT = timedelta(days=1)
"""How long a checkpoint waits for cosignatures once a larger one is there."""


class CheckpointPublisher:
    """Signs the tree head. Any number of workers may run one: they sign the same octets, and one of them is kept.

    number: of the log that the key is of; see `origins`.
    """

    def __init__(self, database: Database, key: LogKey, clock: Clock, *, number: int = FIRST) -> None:
        self._number = number
        self._database = database
        self._key = key
        self._clock = clock

    @property
    def origin(self) -> str:
        return self._key.verifier_key.name

    def publish_due(self) -> Checkpoint | None:
        """Publishes a checkpoint where the tree has grown (or none was ever published), else returns None.

        1. No restore has closed this log. 2. The tiles give the head's root. 3. The last checkpoint in the database and
        the last one that this key remembers are signed by it, and the same tiles give their roots at their sizes: the
        new one continues both, and a database that was put back to an earlier state is noticed. A closed log's
        checkpoint in the database is compared too, and nothing is signed before the tree has grown beyond it.
        4. Signed, outside any transaction. 5. Remembered beside the key. 6. Recorded.
        Raises: LogClosed, LogForked, AuditLogFault, NoteRefused; then nothing is signed. Unavailable; then nothing is
        recorded.
        """
        due = self._due()
        if due is None:
            return None
        key = self._key.verifier_key
        note = Note(text=due.text, signatures=(sign_note(due.text, key, self._key.sign),))
        verify_note(note, key)
        self._key.remember(note.octets)
        now = self._clock()
        with suppress(Conflict), self._database.write() as tx:
            tree_store.add_checkpoint(tx, StoredCheckpoint(due.size, note.octets.decode()), now)
            tree_store.forget_checkpoints(tx, before=now - KEPT, below=due.size)
        return due

    def _due(self) -> Checkpoint | None:
        remembered = self._key.last_signed()
        earlier = names_through(self.origin, self._number - 1)
        with self._database.snapshot() as tx:
            verify_open(tx, self._number, self.origin)
            head = store.read_head(tx)
            last = tree_store.latest_checkpoint(tx)
            size, root = (0, EMPTY_ROOT) if head is None else (head.size, head.root_hash)
            tree = TiledTree(size, lambda level, position: tree_store.tile(tx, level, position))
            if tree.root() != root:
                raise LogForked("the tiles do not give the recorded root")
            if remembered is not None:
                self._verify_follows(tree, remembered)
            if last is not None and self._verify_follows(tree, last.note.encode(), earlier).size == size:
                return None
        return Checkpoint(origin=self.origin, size=size, root_hash=root)

    def _verify_follows(self, tree: TiledTree, last: bytes, earlier: frozenset[str] = frozenset()) -> Checkpoint:
        note = parse_note(last)
        before = parse_checkpoint(note.text)
        if before.origin not in earlier:
            verify_note(note, self._key.verifier_key)
        if before.origin not in earlier | {self.origin} or before.size > tree.size:
            raise LogForked(f"a checkpoint of {before.size} entries was signed, the database has {tree.size}")
        root = tree.range_hash(0, before.size) if before.size else EMPTY_ROOT
        if root != before.root_hash:
            raise LogForked(f"the tree does not continue the one of {before.size} entries")
        return before
