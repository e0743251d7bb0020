"""Tables of the Merkle log: tiles, bundles of entries, checkpoints, witnesses and their cosignatures."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    delete,
    desc,
    exists,
    insert,
    select,
    update,
)

from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from ca_core.schema import metadata

tiles = Table(
    "audit_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)
bundles = Table(
    "audit_bundles",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("commitments", LargeBinary, nullable=False),
)
checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("published_at", UtcTime, nullable=False),
)
witnesses = Table(
    "audit_witnesses",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("verifier_key", String(400), nullable=False, unique=True),
    Column("added_at", UtcTime, nullable=False),
    Column("retired_at", UtcTime, nullable=True),
)
cosignatures = Table(
    "audit_cosignatures",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("witness_id", BigId, primary_key=True, autoincrement=False),
    Column("line", Text, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
)

_PAGE = 500
_TILE = Statement(
    select(tiles.c.hashes).where(tiles.c.level == bindparam("level"), tiles.c.position == bindparam("position"))
)
_ADD_TILE = Statement(
    insert(tiles).values(level=bindparam("level"), position=bindparam("position"), hashes=bindparam("hashes"))
)
_GROW_TILE = Statement(
    update(tiles)
    .where(tiles.c.level == bindparam("of_level"), tiles.c.position == bindparam("at"))
    .values(hashes=bindparam("new_hashes"))
)
_BUNDLE = Statement(select(bundles.c.commitments).where(bundles.c.position == bindparam("position")))
_ADD_BUNDLE = Statement(insert(bundles).values(position=bindparam("position"), commitments=bindparam("commitments")))
_GROW_BUNDLE = Statement(
    update(bundles).where(bundles.c.position == bindparam("at")).values(commitments=bindparam("new_commitments"))
)
_LATEST = Statement(select(checkpoints.c.size, checkpoints.c.note).order_by(desc(checkpoints.c.size)).limit(1))
_LATEST_COSIGNED = Statement(
    select(checkpoints.c.size, checkpoints.c.note)
    .where(exists().where(cosignatures.c.size == checkpoints.c.size))
    .order_by(desc(checkpoints.c.size))
    .limit(1)
)
_CHECKPOINT = Statement(select(checkpoints.c.size, checkpoints.c.note).where(checkpoints.c.size == bindparam("size")))
_CHECKPOINTS = Statement(
    select(checkpoints.c.size, checkpoints.c.note)
    .where(checkpoints.c.size > bindparam("after"))
    .order_by(checkpoints.c.size)
    .limit(_PAGE)
)
_ADD_CHECKPOINT = Statement(
    insert(checkpoints).values(size=bindparam("size"), note=bindparam("note"), published_at=bindparam("published_at"))
)
_FORGET = Statement(
    delete(checkpoints).where(
        checkpoints.c.published_at < bindparam("before"),
        checkpoints.c.size < bindparam("below"),
        ~exists().where(cosignatures.c.size == checkpoints.c.size),
    )
)
_WITNESSES = Statement(
    select(witnesses.c.id, witnesses.c.verifier_key, witnesses.c.added_at, witnesses.c.retired_at).order_by(
        witnesses.c.id
    )
)
_ADD_WITNESS = Statement(
    insert(witnesses).values(
        name=bindparam("name"), verifier_key=bindparam("verifier_key"), added_at=bindparam("added_at")
    )
)
_RETIRE_WITNESS = Statement(
    update(witnesses)
    .where(witnesses.c.name == bindparam("of_name"), witnesses.c.retired_at.is_(None))
    .values(retired_at=bindparam("now"))
)
_COSIGNATURES = Statement(
    select(cosignatures.c.line).where(cosignatures.c.size == bindparam("size")).order_by(cosignatures.c.witness_id)
)
_HAS_COSIGNED = Statement(
    select(cosignatures.c.size).where(
        cosignatures.c.size == bindparam("size"), cosignatures.c.witness_id == bindparam("witness_id")
    )
)
_ADD_COSIGNATURE = Statement(
    insert(cosignatures).values(
        size=bindparam("size"),
        witness_id=bindparam("witness_id"),
        line=bindparam("line"),
        signed_at=bindparam("signed_at"),
    )
)


class StoredCheckpoint(NamedTuple):
    """note: text, blank line, and the log's own signature line."""

    size: int
    note: str


class WitnessRow(NamedTuple):
    id: int
    verifier_key: str
    added_at: datetime
    retired_at: datetime | None


def tile(tx: Transaction, level: int, position: int) -> bytes | None:
    row = tx.one_or_none(_TILE, level=level, position=position)
    return None if row is None else bytes(row[0])


def add_tile(tx: Transaction, level: int, position: int, hashes: bytes) -> None:
    tx.execute(_ADD_TILE, level=level, position=position, hashes=hashes)


def grow_tile(tx: Transaction, level: int, position: int, hashes: bytes) -> None:
    tx.execute(_GROW_TILE, of_level=level, at=position, new_hashes=hashes)


def bundle(tx: Transaction, position: int) -> bytes | None:
    row = tx.one_or_none(_BUNDLE, position=position)
    return None if row is None else bytes(row[0])


def add_bundle(tx: Transaction, position: int, commitments: bytes) -> None:
    tx.execute(_ADD_BUNDLE, position=position, commitments=commitments)


def grow_bundle(tx: Transaction, position: int, commitments: bytes) -> None:
    tx.execute(_GROW_BUNDLE, at=position, new_commitments=commitments)


def latest_checkpoint(tx: Transaction, *, cosigned: bool = False) -> StoredCheckpoint | None:
    """The one of the largest tree (that a witness has cosigned)."""
    row = tx.one_or_none(_LATEST_COSIGNED if cosigned else _LATEST)
    return None if row is None else StoredCheckpoint(*row)


def checkpoint(tx: Transaction, size: int) -> StoredCheckpoint | None:
    row = tx.one_or_none(_CHECKPOINT, size=size)
    return None if row is None else StoredCheckpoint(*row)


def all_checkpoints(tx: Transaction) -> Iterator[StoredCheckpoint]:
    """By size, a page at a time."""
    after = -1
    while page := [StoredCheckpoint(*row) for row in tx.all(_CHECKPOINTS, after=after)]:
        yield from page
        after = page[-1].size


def add_checkpoint(tx: Transaction, stored: StoredCheckpoint, now: datetime) -> None:
    """Raises: Conflict, where one of that size is there."""
    tx.execute(_ADD_CHECKPOINT, size=stored.size, note=stored.note, published_at=now)


def forget_checkpoints(tx: Transaction, *, before: datetime, below: int) -> int:
    """Deletes old ones of smaller trees that no witness cosigned: the tiles still prove what they said."""
    return tx.execute(_FORGET, before=before, below=below)


def all_witnesses(tx: Transaction) -> list[WitnessRow]:
    return [WitnessRow(*row) for row in tx.all(_WITNESSES)]


def add_witness(tx: Transaction, name: str, verifier_key: str, now: datetime) -> None:
    """Raises: Conflict, where the key is there."""
    tx.execute(_ADD_WITNESS, name=name, verifier_key=verifier_key, added_at=now)


def retire_witness(tx: Transaction, name: str, now: datetime) -> int:
    return tx.execute(_RETIRE_WITNESS, of_name=name, now=now)


def cosignature_lines(tx: Transaction, size: int) -> list[str]:
    return [row[0] for row in tx.all(_COSIGNATURES, size=size)]


def has_cosigned(tx: Transaction, size: int, witness_id: int) -> bool:
    return tx.one_or_none(_HAS_COSIGNED, size=size, witness_id=witness_id) is not None


def add_cosignature(tx: Transaction, size: int, witness_id: int, line: str, signed_at: datetime) -> None:
    """Raises: Conflict, where the witness has cosigned that checkpoint already."""
    tx.execute(_ADD_COSIGNATURE, size=size, witness_id=witness_id, line=line, signed_at=signed_at)
