"""Tables of published CRLs.

A row of `crls` is one edition, complete or delta, under a number that no other has. A complete edition's shards are
rows of `crl_shards`: they have its number and moment, and are published by the same change of its one row.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    desc,
    insert,
    select,
    update,
)

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.schema import metadata
from ca_core.status.model import CrlKind, CrlRecord

BUILDING, PUBLISHED, GIVEN_UP = "building", "published", "given_up"
WHOLE = -1
"""In place of a shard's number: the octets of the edition's own list."""

crls = Table(
    "crls",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("authority_id", BigId, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("base_number", BigInteger),
    Column("state", String(16), nullable=False),
    Column("this_update", UtcTime, nullable=False),
    Column("next_update", UtcTime, nullable=False),
    Column("through_seq", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    UniqueConstraint("authority_id", "number"),
)
crl_shards = Table(
    "crl_shards",
    metadata,
    Column("crl_id", BigId, ForeignKey("crls.id"), primary_key=True, autoincrement=False),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("entries", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
)
crl_chunks = Table(
    "crl_chunks",
    metadata,
    Column("crl_id", BigId, ForeignKey("crls.id"), primary_key=True, autoincrement=False),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
)

_CRL = (
    crls.c.id,
    crls.c.authority_id,
    crls.c.number,
    crls.c.kind,
    crls.c.base_number,
    crls.c.this_update,
    crls.c.next_update,
    crls.c.through_seq,
)
_WHOLE = (*_CRL, crls.c.entries, crls.c.size_bytes, crls.c.chunks)
_RESERVE = Statement(
    insert(crls)
    .values(
        authority_id=bindparam("authority_id"),
        number=bindparam("number"),
        kind=bindparam("kind"),
        base_number=bindparam("base_number"),
        state=bindparam("state"),
        this_update=bindparam("this_update"),
        next_update=bindparam("next_update"),
        through_seq=bindparam("through_seq"),
        entries=0,
        size_bytes=0,
        chunks=0,
    )
    .returning(crls.c.id)
)
_LAST_NUMBER = Statement(
    select(crls.c.number).where(crls.c.authority_id == bindparam("authority_id")).order_by(desc(crls.c.number)).limit(1)
)
_NEWEST = Statement(
    select(*_WHOLE)
    .where(
        crls.c.authority_id == bindparam("authority_id"),
        crls.c.kind == bindparam("kind"),
        crls.c.state == PUBLISHED,
    )
    .order_by(desc(crls.c.number))
    .limit(bindparam("limit_"))
)
_BY_NUMBER = Statement(
    select(*_WHOLE).where(
        crls.c.authority_id == bindparam("authority_id"),
        crls.c.number == bindparam("number"),
        crls.c.state == PUBLISHED,
    )
)
_SHARD = Statement(
    select(*_CRL, crl_shards.c.entries, crl_shards.c.size_bytes, crl_shards.c.chunks)
    .join(crl_shards, crl_shards.c.crl_id == crls.c.id)
    .where(crls.c.id == bindparam("crl_id"), crl_shards.c.shard == bindparam("shard"))
)
_SHARD_NUMBERS = Statement(
    select(crl_shards.c.shard).where(crl_shards.c.crl_id == bindparam("crl_id")).order_by(crl_shards.c.shard)
)
_ADD_SHARD = Statement(
    insert(crl_shards).values(
        crl_id=bindparam("crl_id"),
        shard=bindparam("shard"),
        entries=bindparam("entries"),
        size_bytes=bindparam("size_bytes"),
        chunks=bindparam("chunks"),
    )
)
_PUBLISH = Statement(
    update(crls)
    .where(crls.c.id == bindparam("wanted_id"), crls.c.state == BUILDING)
    .values(
        state=PUBLISHED,
        entries=bindparam("entry_count"),
        size_bytes=bindparam("total_bytes"),
        chunks=bindparam("chunk_count"),
    )
)
_LOCK_UNFINISHED = Statement(
    select(crls.c.id)
    .where(crls.c.authority_id == bindparam("authority_id"), crls.c.state == BUILDING)
    .order_by(crls.c.number)
    .with_for_update(key_share=True)
)
_GIVE_UP = Statement(
    update(crls)
    .where(
        crls.c.authority_id == bindparam("wanted_authority_id"),
        crls.c.kind == bindparam("wanted_kind"),
        crls.c.state == BUILDING,
        crls.c.number < bindparam("below"),
    )
    .values(state=GIVEN_UP)
)
_GIVE_UP_ONE = Statement(
    update(crls).where(crls.c.id == bindparam("wanted_id"), crls.c.state == BUILDING).values(state=GIVEN_UP)
)
_GIVE_UP_ABANDONED = Statement(
    update(crls)
    .where(
        crls.c.authority_id == bindparam("wanted_authority_id"),
        crls.c.state == BUILDING,
        crls.c.this_update < bindparam("before"),
    )
    .values(state=GIVEN_UP)
)
_CHUNK = Statement(
    insert(crl_chunks).values(
        crl_id=bindparam("crl_id"),
        shard=bindparam("shard"),
        position=bindparam("position"),
        octets=bindparam("octets"),
    )
)
_READ_CHUNK = Statement(
    select(crl_chunks.c.octets).where(
        crl_chunks.c.crl_id == bindparam("crl_id"),
        crl_chunks.c.shard == bindparam("shard"),
        crl_chunks.c.position == bindparam("position"),
    )
)
_DROP_OLD_CONTENT = Statement(
    delete(crl_chunks).where(
        crl_chunks.c.crl_id.in_(
            select(crls.c.id).where(
                crls.c.authority_id == bindparam("wanted_authority_id"),
                crls.c.kind == bindparam("wanted_kind"),
                crls.c.number < bindparam("below"),
                crls.c.number != bindparam("kept"),
            )
        )
    )
)
_DROP_GIVEN_UP_CONTENT = Statement(
    delete(crl_chunks).where(
        crl_chunks.c.crl_id.in_(
            select(crls.c.id).where(crls.c.authority_id == bindparam("wanted_authority_id"), crls.c.state == GIVEN_UP)
        )
    )
)


def lock_unfinished(tx: Transaction, authority_id: int) -> None:
    """Locks what is being made, in one order for everybody: two publishers that give up lower numbers wait, where in
    the order of an UPDATE they could hold each other's rows."""
    tx.all(_LOCK_UNFINISHED, authority_id=authority_id)


def last_number(tx: Transaction, authority_id: int) -> int:
    """The highest CRLNumber that was ever taken, whether or not its CRL came to be; 0 before the first."""
    row = tx.one_or_none(_LAST_NUMBER, authority_id=authority_id)
    return 0 if row is None else int(row[0])


def reserve(
    tx: Transaction,
    authority_id: int,
    kind: CrlKind,
    *,
    number: int,
    base_number: int | None,
    this_update: datetime,
    next_update: datetime,
    through: int,
) -> int:
    """Takes a number for a CRL that is now being made; returns the row's id. Raises: Conflict, for a number taken."""
    row = tx.one_or_none(
        _RESERVE,
        authority_id=authority_id,
        number=number,
        kind=kind.value,
        base_number=base_number,
        state=BUILDING,
        this_update=this_update,
        next_update=next_update,
        through_seq=through,
    )
    if row is None:
        raise LookupError("an insert returned no row")
    crl_id: int = row[0]
    return crl_id


def add_chunks(tx: Transaction, crl_id: int, chunks: Iterable[tuple[int, int, bytes]]) -> None:
    """chunks: (shard or WHOLE, position, octets)."""
    tx.execute_many(
        _CHUNK,
        (
            {"crl_id": crl_id, "shard": shard, "position": position, "octets": octets}
            for shard, position, octets in chunks
        ),
    )


def add_shard(tx: Transaction, record: CrlRecord) -> None:
    """A shard's list of the edition with the record's id; it counts when that is published."""
    tx.execute(
        _ADD_SHARD,
        crl_id=record.id,
        shard=record.shard,
        entries=record.entries,
        size_bytes=record.size_bytes,
        chunks=record.chunks,
    )


def publish(tx: Transaction, record: CrlRecord) -> bool:
    """Makes the CRL the latest of its kind, in one row's change. False where it was given up meanwhile."""
    touched = tx.execute(
        _PUBLISH,
        wanted_id=record.id,
        entry_count=record.entries,
        total_bytes=record.size_bytes,
        chunk_count=record.chunks,
    )
    return touched == 1


def give_up_unfinished(tx: Transaction, authority_id: int, kind: CrlKind, *, below: int) -> None:
    """CRLs of that kind below that number that never came to be will not be published any more."""
    tx.execute(_GIVE_UP, wanted_authority_id=authority_id, wanted_kind=kind.value, below=below)


def give_up(tx: Transaction, crl_id: int) -> None:
    """This one, unless it was published, will not be any more."""
    tx.execute(_GIVE_UP_ONE, wanted_id=crl_id)


def give_up_abandoned(tx: Transaction, authority_id: int, *, before: datetime) -> None:
    """Those whose makers have been gone since before a moment."""
    tx.execute(_GIVE_UP_ABANDONED, wanted_authority_id=authority_id, before=before)


def drop_old_content(tx: Transaction, authority_id: int, kind: CrlKind, *, below: int, kept: int | None) -> None:
    """Forgets the octets of CRLs of that kind below a number, but for one; their rows stay."""
    tx.execute(
        _DROP_OLD_CONTENT,
        wanted_authority_id=authority_id,
        wanted_kind=kind.value,
        below=below,
        kept=-1 if kept is None else kept,
    )


def drop_given_up_content(tx: Transaction, authority_id: int) -> None:
    """Forgets the octets of those that never came to be."""
    tx.execute(_DROP_GIVEN_UP_CONTENT, wanted_authority_id=authority_id)


def newest(tx: Transaction, authority_id: int, kind: CrlKind, *, limit: int) -> list[CrlRecord]:
    """The newest published ones of a kind, newest first."""
    return [_crl(row) for row in tx.all(_NEWEST, authority_id=authority_id, kind=kind.value, limit_=limit)]


def latest(tx: Transaction, authority_id: int, kind: CrlKind) -> CrlRecord | None:
    found = newest(tx, authority_id, kind, limit=1)
    return found[0] if found else None


def by_number(tx: Transaction, authority_id: int, number: int) -> CrlRecord | None:
    """A published one."""
    row = tx.one_or_none(_BY_NUMBER, authority_id=authority_id, number=number)
    return None if row is None else _crl(row)


def shard_of(tx: Transaction, crl_id: int, shard: int) -> CrlRecord | None:
    """A shard's list of an edition."""
    row = tx.one_or_none(_SHARD, crl_id=crl_id, shard=shard)
    return None if row is None else _crl(row, shard)


def shard_numbers(tx: Transaction, crl_id: int) -> list[int]:
    return [int(row[0]) for row in tx.all(_SHARD_NUMBERS, crl_id=crl_id)]


def chunk(tx: Transaction, record: CrlRecord, position: int) -> bytes | None:
    shard = WHOLE if record.shard is None else record.shard
    row = tx.one_or_none(_READ_CHUNK, crl_id=record.id, shard=shard, position=position)
    return None if row is None else bytes(row[0])


def _crl(row: Row, shard: int | None = None) -> CrlRecord:
    id_, authority_id, number, kind, base, this_update, next_update, through, entries, size_bytes, chunks = row
    return CrlRecord(
        id=id_,
        authority_id=authority_id,
        number=number,
        kind=CrlKind(kind),
        base_number=base,
        shard=shard,
        this_update=this_update,
        next_update=next_update,
        through=through,
        entries=entries,
        size_bytes=size_bytes,
        chunks=chunks,
    )
