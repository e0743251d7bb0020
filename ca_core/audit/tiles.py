"""The tree cut into tiles, their paths, and bundles of entries (c2sp.org/tlog-tiles). Pure.

A partial tile is the beginning of the fuller one that follows it: one stored tile serves every width up to its own.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ca_core.audit.errors import AuditLogFault, FaultKind
from ca_core.audit.merkle import HASH_BYTES, leaf_node, parent_node, root_of, split_at

WIDTH = 256
TILE_BYTES = WIDTH * HASH_BYTES
ENTRY_BYTES = 32
"""An entry is an event's salted commitment, and nothing else."""

_HEIGHT = 8
_MAX_LEVEL = 63
_MAX_INDEX_PARTS = 6
_LENGTH = ENTRY_BYTES.to_bytes(2, "big")
_PATH = re.compile(r"(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)

LoadTile = Callable[[int, int], bytes | None]
"""The stored hashes of a tile by (level, position), None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileName:
    """level: None for a bundle of entries. width: 1-256."""

    level: int | None
    position: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Below `tile/`."""
        digits = f"{self.position:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        index = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"{'entries' if self.level is None else self.level}/{index}{partial}"


def parse_tile_path(path: str) -> TileName:
    """The tile that an untrusted path below `tile/` names; each has one path only. Raises: ValueError."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError("not the path of a tile")
    kind, index, width = found.groups()
    name = TileName(
        level=None if kind == "entries" else int(kind),
        position=int(index.replace("/", "").replace("x", "")),
        width=WIDTH if width is None else int(width),
    )
    if name.path != path or (name.level or 0) > _MAX_LEVEL:
        raise ValueError("not the path of a tile")
    return name


def tiles_of(size: int) -> Iterator[TileName]:
    """Every tile of hashes in the tree of that size, level by level."""
    level, nodes = 0, size
    while nodes > 0:
        full, partial = divmod(nodes, WIDTH)
        for position in range(full):
            yield TileName(level=level, position=position)
        if partial:
            yield TileName(level=level, position=full, width=partial)
        level, nodes = level + 1, full


def bundles_of(size: int) -> Iterator[TileName]:
    """Every bundle of entries in the tree of that size."""
    full, partial = divmod(size, WIDTH)
    for position in range(full):
        yield TileName(level=None, position=position)
    if partial:
        yield TileName(level=None, position=full, width=partial)


def encode_bundle(commitments: bytes) -> bytes:
    """A bundle as it is served: each entry behind its length in two octets."""
    return b"".join(_LENGTH + commitments[at : at + ENTRY_BYTES] for at in range(0, len(commitments), ENTRY_BYTES))


def parse_bundle(octets: bytes) -> list[bytes]:
    """The entries of an untrusted bundle, of any length each. Raises: ValueError."""
    entries: list[bytes] = []
    at = 0
    while at < len(octets):
        size = int.from_bytes(octets[at : at + 2], "big")
        entry = octets[at + 2 : at + 2 + size]
        if at + 2 > len(octets) or len(entry) != size or len(entries) == WIDTH:
            raise ValueError("not a bundle of entries")
        entries.append(entry)
        at += 2 + size
    return entries


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes that stand in a tile."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


class TiledTree:
    """A tree of a size, read from its tiles; of each tile at most once. Raises: AuditLogFault, where one is missing."""

    def __init__(self, size: int, load: LoadTile) -> None:
        self.size = size
        self._load = load
        self._tiles: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        return self.range_hash(0, self.size) if self.size else root_of([])

    def range_hash(self, low: int, high: int) -> bytes:
        """The hash over entries low..high-1, where low is a multiple of the power of two next to their number."""
        count = high - low
        if count & (count - 1) == 0 and low % count == 0:
            height = count.bit_length() - 1
            return self._node(height, low >> height)
        middle = low + split_at(count)
        return parent_node(self.range_hash(low, middle), self.range_hash(middle, high))

    def _node(self, height: int, index: int) -> bytes:
        level, inside = divmod(height, _HEIGHT)
        first = index << inside
        position, offset = first // WIDTH, first % WIDTH
        tile = self._tiles.get((level, position))
        if tile is None:
            tile = self._tiles[level, position] = self._load(level, position) or b""
        hashes = hashes_of(tile[offset * HASH_BYTES : (offset + (1 << inside)) * HASH_BYTES])
        if len(hashes) != 1 << inside or len(hashes[-1]) != HASH_BYTES:
            leaf_index = first << (level * _HEIGHT)
            raise AuditLogFault(FaultKind.REMOVED, leaf_index=leaf_index, what=f"tile {level}/{position}")
        return root_of(hashes)


class ChangedTile(NamedTuple):
    """is_new: no part of it was stored before."""

    level: int
    position: int
    hashes: bytes
    is_new: bool


class TreeBuilder:
    """Appends entries to a tree of a size, given its right edge. Raises: AuditLogFault, where the edge is not there.

    on_full: takes each tile as it becomes full, for trees that memory cannot hold; else `changes` gives them.
    """

    def __init__(self, size: int, load: LoadTile, on_full: Callable[[ChangedTile], None] | None = None) -> None:
        self.size = size
        self._on_full = self._keep if on_full is None else on_full
        self._open: list[bytearray] = []
        self._stored: set[tuple[int, int]] = set()
        self._full: list[ChangedTile] = []
        level, nodes = 0, size
        while nodes > 0:
            position, width = divmod(nodes, WIDTH)
            self._open.append(bytearray(self._edge(load, level, position, width) if width else b""))
            level, nodes = level + 1, position
        self._changed = 0

    def _edge(self, load: LoadTile, level: int, position: int, width: int) -> bytes:
        tile = load(level, position) or b""
        if len(tile) != width * HASH_BYTES:
            leaf_index = (position * WIDTH) << (level * _HEIGHT)
            raise AuditLogFault(FaultKind.TREE_BROKEN, leaf_index=leaf_index, what=f"tile {level}/{position}")
        self._stored.add((level, position))
        return tile

    def append(self, entry: bytes) -> None:
        node = leaf_node(entry)
        for level in range(_MAX_LEVEL):
            if level == len(self._open):
                self._open.append(bytearray())
            tile = self._open[level]
            tile += node
            self._changed = max(self._changed, level + 1)
            if len(tile) < TILE_BYTES:
                break
            self._on_full(self._change(level, self.size >> (_HEIGHT * (level + 1)), bytes(tile)))
            node = root_of(hashes_of(bytes(tile)))
            tile.clear()
        self.size += 1

    def root(self) -> bytes:
        """The root as far as it is built."""
        below: list[bytes] = []
        for tile in self._open:
            nodes = hashes_of(bytes(tile)) + below
            below = [root_of(nodes)] if nodes else []
        return below[0] if below else root_of([])

    def changes(self) -> list[ChangedTile]:
        """What must be stored: the tiles that became full, then the right edge as far as it changed."""
        edge = [
            self._change(level, self.size >> (_HEIGHT * (level + 1)), bytes(tile))
            for level, tile in enumerate(self._open[: self._changed])
            if tile
        ]
        return [*self._full, *edge]

    def _keep(self, tile: ChangedTile) -> None:
        self._full.append(tile)

    def _change(self, level: int, position: int, hashes: bytes) -> ChangedTile:
        return ChangedTile(level, position, hashes, (level, position) not in self._stored)
