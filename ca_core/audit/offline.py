"""Verifying a copied log with nothing but the copy and the keys: no database, no network, no trust in the copier."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.errors import AuditLogFault, FaultKind, NoteRefused, ProofRefused
from ca_core.audit.folder import LogFiles, parse_opening
from ca_core.audit.merkle import EMPTY_ROOT, HASH_BYTES
from ca_core.audit.note import Note, VerifierKey, parse_note, verify_cosignature, verify_note
from ca_core.audit.tiles import (
    WIDTH,
    ChangedTile,
    TiledTree,
    TileName,
    TreeBuilder,
    bundles_of,
    parse_bundle,
)
from ca_core.audit.verification import commitment_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineReport:
    """What a copy without fault holds. openings: how many events were shown and stand in the log."""

    origin: str
    size: int
    root_hash: bytes
    witnesses: tuple[tuple[str, datetime], ...]
    earlier: tuple[int, ...]
    openings: int


def verify_copy(
    files: LogFiles,
    key: VerifierKey,
    *,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    earlier: Sequence[bytes] = (),
    openings: Iterable[str] = (),
) -> OfflineReport:
    """Accepts iff everything holds; the key, the witnesses' keys and the earlier checkpoints are the trusted part.

    1. The checkpoint is signed by the key, and its origin is the key's name. 2. At least `quorum` of the witnesses
    cosigned it. 3. Every entry and tile of a tree of its size is there; the entries give the tiles, and the tiles the
    root. 4. Each earlier checkpoint is signed by the key and is the same tree at its size. 5. Each opened event gives
    the entry at its index.
    Raises: NoteRefused, AuditLogFault, ProofRefused.
    """
    octets = files.read("checkpoint")
    if octets is None:
        raise NoteRefused("there is no checkpoint")
    note, head = _signed(octets, key)
    cosigned = _cosigned(note, witnesses)
    if len(cosigned) < quorum:
        raise NoteRefused(f"{len(cosigned)} of the witnesses cosigned it, {quorum} are asked for")
    _verify_tree(files, head)
    tree = TiledTree(head.size, lambda level, position: _tile(files, head.size, level, position))
    sizes = tuple(_verify_earlier(tree, before, key) for before in earlier)
    opened = _verify_openings(files, head.size, openings)
    return OfflineReport(
        origin=head.origin,
        size=head.size,
        root_hash=head.root_hash,
        witnesses=tuple(cosigned.items()),
        earlier=sizes,
        openings=opened,
    )


def _signed(octets: bytes, key: VerifierKey) -> tuple[Note, Checkpoint]:
    note = parse_note(octets)
    verify_note(note, key)
    head = parse_checkpoint(note.text)
    if head.origin != key.name:
        raise NoteRefused(f"a checkpoint of {head.origin}")
    return note, head


def _cosigned(note: Note, witnesses: Sequence[VerifierKey]) -> dict[str, datetime]:
    """The witnesses' names with the times; each counts once, whatever the number of its names."""
    found: dict[bytes, tuple[str, datetime]] = {}
    for witness in witnesses:
        for signature in note.signatures:
            if witness.made(signature):
                found[witness.public_key] = (witness.name, verify_cosignature(note.text, signature, witness))
    return dict(found.values())


def _verify_tree(files: LogFiles, head: Checkpoint) -> None:
    def compare(tile: ChangedTile) -> None:
        if _tile(files, head.size, tile.level, tile.position) != tile.hashes:
            leaf_index = tile.position << (8 * (tile.level + 1))
            what = f"tile {tile.level}/{tile.position}"
            raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=leaf_index, what=what)

    built = TreeBuilder(0, lambda _level, _position: None, compare)
    for name in bundles_of(head.size):
        for entry in _bundle(files, name):
            built.append(entry)
    for edge in built.changes():
        compare(edge)
    if built.root() != head.root_hash:
        raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=head.size, what="the checkpoint's root")


def _bundle(files: LogFiles, name: TileName) -> list[bytes]:
    octets = files.read(f"tile/{name.path}")
    if octets is None:
        raise AuditLogFault(FaultKind.REMOVED, leaf_index=name.position * WIDTH, what=f"tile/{name.path}")
    try:
        entries = parse_bundle(octets)
    except ValueError as error:
        raise AuditLogFault(FaultKind.ALTERED, leaf_index=name.position * WIDTH, what=f"tile/{name.path}") from error
    if len(entries) != name.width:
        raise AuditLogFault(FaultKind.ALTERED, leaf_index=name.position * WIDTH, what=f"tile/{name.path}")
    return entries


def _tile(files: LogFiles, size: int, level: int, position: int) -> bytes | None:
    """The tile as the tree of that size has it."""
    full, partial = divmod(size >> (8 * level), WIDTH)
    width = WIDTH if position < full else partial
    octets = files.read(f"tile/{TileName(level=level, position=position, width=width).path}") if width else None
    return octets if octets is not None and len(octets) == width * HASH_BYTES else None


def _verify_earlier(tree: TiledTree, octets: bytes, key: VerifierKey) -> int:
    _, before = _signed(octets, key)
    if before.size > tree.size:
        raise AuditLogFault(FaultKind.TAIL_CUT, leaf_index=tree.size, what=f"an earlier checkpoint has {before.size}")
    root = tree.range_hash(0, before.size) if before.size else EMPTY_ROOT
    if root != before.root_hash:
        raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=before.size, what="an earlier checkpoint's root")
    return before.size


def _verify_openings(files: LogFiles, size: int, lines: Iterable[str]) -> int:
    """In ascending order each bundle is read once."""
    opened, held, entries = 0, -1, list[bytes]()
    for line in lines:
        if not line.strip():
            continue
        index, event = parse_opening(line)
        if not 0 <= index < size:
            raise ProofRefused(f"no entry {index} in a tree of {size}")
        if index // WIDTH != held:
            held = index // WIDTH
            full, partial = divmod(size, WIDTH)
            entries = _bundle(files, TileName(level=None, position=held, width=WIDTH if held < full else partial))
        if entries[index % WIDTH] != commitment_of(event):
            raise AuditLogFault(FaultKind.ALTERED, leaf_index=index, what="the opened event")
        opened += 1
    return opened
