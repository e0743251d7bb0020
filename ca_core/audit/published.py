"""The log as everybody may read it: checkpoints, tiles, bundles and proofs, from the database."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ca_core.audit import store, tree_store
from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.errors import ProofRefused
from ca_core.audit.merkle import HASH_BYTES, prove_consistency, prove_inclusion
from ca_core.audit.model import RecordedEvent
from ca_core.audit.note import parse_note
from ca_core.audit.tiles import ENTRY_BYTES, TiledTree, TileName, encode_bundle
from ca_core.audit.tree_store import StoredCheckpoint
from ca_core.kernel.database import Database, Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """That an entry stands at its index in the tree of a checkpoint (with its cosignatures)."""

    index: int
    entry: bytes
    proof: tuple[bytes, ...]
    checkpoint: bytes


class PublishedLog:
    """Reads what the sequencer and the publisher wrote; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def checkpoint(self) -> bytes | None:
        """The newest checkpoint with the cosignatures that it has so far, None before the first."""
        return self._latest(cosigned=False)

    def witnessed_checkpoint(self) -> bytes | None:
        """The newest one that at least one witness cosigned."""
        return self._latest(cosigned=True)

    def tile(self, name: TileName) -> bytes | None:
        """A tile's hashes or a bundle of entries, of exactly that width; None where the tree has not got it."""
        with self._database.read() as tx:
            if name.level is None:
                stored, unit = tree_store.bundle(tx, name.position), ENTRY_BYTES
            else:
                stored, unit = tree_store.tile(tx, name.level, name.position), HASH_BYTES
        if stored is None or len(stored) < name.width * unit:
            return None
        octets = stored[: name.width * unit]
        return encode_bundle(octets) if name.level is None else octets

    def inclusion(self, index: int) -> InclusionProof:
        """The proof for an entry in the newest checkpoint's tree. Raises: ProofRefused, AuditLogFault."""

        def prove(tx: Transaction, stored: StoredCheckpoint, newest: Checkpoint) -> InclusionProof:
            tree = TiledTree(newest.size, lambda level, position: tree_store.tile(tx, level, position))
            proof = prove_inclusion(index, newest.size, tree.range_hash)
            bundle = tree_store.bundle(tx, index // 256) or b""
            entry = bundle[index % 256 * ENTRY_BYTES : (index % 256 + 1) * ENTRY_BYTES]
            return InclusionProof(
                index=index, entry=entry, proof=tuple(proof), checkpoint=_with_cosignatures(tx, stored)
            )

        return self._in_newest(prove)

    def consistency(self, old_size: int) -> tuple[tuple[bytes, ...], bytes]:
        """The proof from an older tree to the newest checkpoint's, and that checkpoint. Raises: ProofRefused."""

        def prove(tx: Transaction, stored: StoredCheckpoint, newest: Checkpoint) -> tuple[tuple[bytes, ...], bytes]:
            tree = TiledTree(newest.size, lambda level, position: tree_store.tile(tx, level, position))
            proof = prove_consistency(old_size, newest.size, tree.range_hash)
            return tuple(proof), stored.note.encode()

        return self._in_newest(prove)

    def event(self, index: int) -> RecordedEvent | None:
        """The event behind an entry: for auditors, never published."""
        with self._database.snapshot() as tx:
            for place, _, event in store.placed(tx, index):
                return event if place == index else None
        return None

    def _latest(self, *, cosigned: bool) -> bytes | None:
        with self._database.read() as tx:
            stored = tree_store.latest_checkpoint(tx, cosigned=cosigned)
            return None if stored is None else _with_cosignatures(tx, stored)

    def _in_newest(self, prove: Callable[[Transaction, StoredCheckpoint, Checkpoint], T]) -> T:
        with self._database.snapshot() as tx:
            stored = tree_store.latest_checkpoint(tx)
            if stored is None:
                raise ProofRefused("no checkpoint was published yet")
            return prove(tx, stored, parse_checkpoint(parse_note(stored.note.encode()).text))


def _with_cosignatures(tx: Transaction, stored: StoredCheckpoint) -> bytes:
    return (stored.note + "".join(tree_store.cosignature_lines(tx, stored.size))).encode()
