"""Recomputing the whole log from the database."""

from collections.abc import Iterator
from dataclasses import dataclass

from ca_core.audit import store, tree_store
from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.errors import AuditLogFault, FaultKind
from ca_core.audit.merkle import EMPTY_ROOT
from ca_core.audit.model import RecordedEvent, leaf_hash
from ca_core.audit.note import VerifierKey, parse_note, verify_note
from ca_core.audit.origins import current_origin, names_through
from ca_core.audit.tiles import ENTRY_BYTES, WIDTH, ChangedTile, TreeBuilder
from ca_core.kernel.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What a log without fault holds. `waiting` events have no place yet. `checkpoints` of it were compared.

    of_other_logs: how many of those are of another of the log's names than the key's (one that a restore closed): their
    roots are the tree's, their signatures were not verified.
    """

    chained: int
    waiting: int
    root_hash: bytes
    checkpoints: int
    of_other_logs: int = 0

    @property
    def chain_hash(self) -> bytes:
        """What stands for the whole log."""
        return self.root_hash


def verify_log(database: Database, key: VerifierKey | None = None) -> LogReport:
    """Recomputes every commitment, tile and root from one snapshot, in bounded memory.

    1. The places are numbered without a gap. 2. Each place's event is there. 3. Its columns give its leaf hash. 4. That
    is the entry in the bundle that was published. 5. Every tile is the one that the entries give. 6. Every checkpoint's
    root is the tree's at its size (and, given the key, signed). 7. The tree ends at the recorded head, and no
    checkpoint is of a larger one. 8. No event stands outside the tree among those that the sequencer has settled.
    Raises: AuditLogFault, the first in this order of rows; NoteRefused, for a checkpoint that the key did not sign.
    """
    with database.snapshot() as tx:
        names = frozenset() if key is None else names_through(key.name, current_origin(tx).number) - {key.name}
        pending = _Checkpoints(tree_store.all_checkpoints(tx), key, names)
        built = TreeBuilder(0, _nothing, lambda tile: _compare_tile(tx, tile))
        pending.compare(built)
        entries: list[bytes] = []
        for place, event_id, event in store.placed(tx):
            index = built.size
            if place != index:
                raise AuditLogFault(FaultKind.REMOVED, leaf_index=index)
            if event is None:
                raise AuditLogFault(FaultKind.REMOVED, leaf_index=index, event_id=event_id)
            if commitment_of(event) != event.leaf_hash:
                raise AuditLogFault(FaultKind.ALTERED, leaf_index=index, event_id=event_id)
            entries.append(event.leaf_hash)
            built.append(event.leaf_hash)
            if len(entries) == WIDTH:
                _compare_bundle(tx, index // WIDTH, entries)
                entries.clear()
            pending.compare(built)
        if entries:
            _compare_bundle(tx, built.size // WIDTH, entries)
        for edge in built.changes():
            _compare_tile(tx, edge)
        _compare_head(tx, built)
        pending.finish(built.size)
        waiting, lowest = store.count_waiting(tx)
        head = store.read_head(tx)
        if lowest is not None and head is not None and lowest <= head.settled_event_id:
            raise AuditLogFault(FaultKind.UNSEQUENCED, leaf_index=None, event_id=lowest)
    return LogReport(
        chained=built.size,
        waiting=waiting,
        root_hash=built.root(),
        checkpoints=pending.compared,
        of_other_logs=pending.of_other_logs,
    )


def commitment_of(event: RecordedEvent) -> bytes:
    """The leaf hash that the event's columns give."""
    return leaf_hash(
        at=event.at,
        name=event.name,
        actor=event.actor,
        outcome=event.outcome.value,
        subject=event.subject,
        request_id=event.request_id,
        detail=event.detail,
        salt=event.salt,
    )


class _Checkpoints:
    """The published checkpoints in order of size, each compared as the tree reaches it."""

    def __init__(
        self, stored: Iterator[tree_store.StoredCheckpoint], key: VerifierKey | None, other_names: frozenset[str]
    ) -> None:
        self._stored = stored
        self._key = key
        self._other_names = other_names
        self.compared = 0
        self.of_other_logs = 0
        self._next = self._read()

    def compare(self, built: TreeBuilder) -> None:
        while self._next is not None and self._next.size <= built.size:
            if self._next.size < built.size or self._next.root_hash != built.root():
                raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=built.size, what="a checkpoint")
            self.compared += 1
            self._next = self._read()

    def finish(self, size: int) -> None:
        if self._next is not None:
            raise AuditLogFault(FaultKind.TAIL_CUT, leaf_index=size, what=f"a checkpoint of {self._next.size}")

    def _read(self) -> Checkpoint | None:
        stored = next(self._stored, None)
        if stored is None:
            return None
        note = parse_note(stored.note.encode())
        found = parse_checkpoint(note.text)
        if found.origin in self._other_names:
            self.of_other_logs += 1
        elif self._key is not None:
            verify_note(note, self._key)
        if found.size != stored.size:
            raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=stored.size, what="a checkpoint's size")
        return found


def _compare_bundle(tx: Transaction, position: int, entries: list[bytes]) -> None:
    published = tree_store.bundle(tx, position) or b""
    for at, entry in enumerate(entries):
        if published[at * ENTRY_BYTES : (at + 1) * ENTRY_BYTES] != entry:
            raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=position * WIDTH + at, what="the published entry")
    if len(published) != len(entries) * ENTRY_BYTES:
        leaf_index = position * WIDTH + len(entries)
        raise AuditLogFault(FaultKind.TAIL_CUT, leaf_index=leaf_index, what="more entries were published")


def _compare_tile(tx: Transaction, tile: ChangedTile) -> None:
    if tree_store.tile(tx, tile.level, tile.position) != tile.hashes:
        leaf_index = tile.position << (8 * (tile.level + 1))
        raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=leaf_index, what=f"tile {tile.level}/{tile.position}")


def _compare_head(tx: Transaction, built: TreeBuilder) -> None:
    head = store.read_head(tx)
    recorded = (0, EMPTY_ROOT) if head is None else (head.size, head.root_hash)
    if recorded != (built.size, built.root()):
        raise AuditLogFault(FaultKind.TAIL_CUT, leaf_index=built.size)


def _nothing(_level: int, _position: int) -> None:
    return None
