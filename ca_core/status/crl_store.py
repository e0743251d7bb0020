"""Tables of published CRLs."""

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
from ca_core.status.model import CrlRecord

BUILDING, PUBLISHED, GIVEN_UP = "building", "published", "given_up"

crls = Table(
    "crls",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("authority_id", BigId, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("this_update", UtcTime, nullable=False),
    Column("next_update", UtcTime, nullable=False),
    Column("through_seq", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    UniqueConstraint("authority_id", "number"),
)
crl_chunks = Table(
    "crl_chunks",
    metadata,
    Column("crl_id", BigId, ForeignKey("crls.id"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
)

_CRL = (
    crls.c.id,
    crls.c.authority_id,
    crls.c.number,
    crls.c.this_update,
    crls.c.next_update,
    crls.c.through_seq,
    crls.c.entries,
    crls.c.size_bytes,
    crls.c.chunks,
)
_RESERVE = Statement(
    insert(crls)
    .values(
        authority_id=bindparam("authority_id"),
        number=bindparam("number"),
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
_LATEST = Statement(
    select(*_CRL)
    .where(crls.c.authority_id == bindparam("authority_id"), crls.c.state == PUBLISHED)
    .order_by(desc(crls.c.number))
    .limit(1)
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
_GIVE_UP = Statement(
    update(crls)
    .where(
        crls.c.authority_id == bindparam("wanted_authority_id"),
        crls.c.state == BUILDING,
        crls.c.number < bindparam("below"),
    )
    .values(state=GIVEN_UP)
)
_CHUNK = Statement(
    insert(crl_chunks).values(crl_id=bindparam("crl_id"), position=bindparam("position"), octets=bindparam("octets"))
)
_READ_CHUNK = Statement(
    select(crl_chunks.c.octets).where(
        crl_chunks.c.crl_id == bindparam("crl_id"), crl_chunks.c.position == bindparam("position")
    )
)
_DROP_CONTENT = Statement(
    delete(crl_chunks).where(
        crl_chunks.c.crl_id.in_(
            select(crls.c.id).where(
                crls.c.authority_id == bindparam("wanted_authority_id"),
                crls.c.number < bindparam("below"),
            )
        )
    )
)


def last_number(tx: Transaction, authority_id: int) -> int:
    """The highest CRLNumber that was ever taken, whether or not its CRL came to be; 0 before the first."""
    row = tx.one_or_none(_LAST_NUMBER, authority_id=authority_id)
    return 0 if row is None else int(row[0])


def reserve(
    tx: Transaction, authority_id: int, *, number: int, this_update: datetime, next_update: datetime, through: int
) -> int:
    """Takes a number for a CRL that is now being made; returns the row's id. Raises: Conflict, for a number taken."""
    row = tx.one_or_none(
        _RESERVE,
        authority_id=authority_id,
        number=number,
        state=BUILDING,
        this_update=this_update,
        next_update=next_update,
        through_seq=through,
    )
    if row is None:
        raise LookupError("an insert returned no row")
    crl_id: int = row[0]
    return crl_id


def add_chunk(tx: Transaction, crl_id: int, position: int, octets: bytes) -> None:
    tx.execute(_CHUNK, crl_id=crl_id, position=position, octets=octets)


def publish(tx: Transaction, record: CrlRecord) -> bool:
    """Makes the CRL the latest, in one row's change. False where it was given up meanwhile."""
    touched = tx.execute(
        _PUBLISH,
        wanted_id=record.id,
        entry_count=record.entries,
        total_bytes=record.size_bytes,
        chunk_count=record.chunks,
    )
    return touched == 1


def give_up_unfinished(tx: Transaction, authority_id: int, *, below: int) -> None:
    """CRLs below that number that never came to be will not be published any more."""
    tx.execute(_GIVE_UP, wanted_authority_id=authority_id, below=below)


def drop_content(tx: Transaction, authority_id: int, *, below: int) -> None:
    """Forgets the octets of CRLs below that number; their rows stay."""
    tx.execute(_DROP_CONTENT, wanted_authority_id=authority_id, below=below)


def latest(tx: Transaction, authority_id: int) -> CrlRecord | None:
    row = tx.one_or_none(_LATEST, authority_id=authority_id)
    return None if row is None else _crl(row)


def chunk(tx: Transaction, crl_id: int, position: int) -> bytes | None:
    row = tx.one_or_none(_READ_CHUNK, crl_id=crl_id, position=position)
    return None if row is None else bytes(row[0])


def _crl(row: Row) -> CrlRecord:
    id_, authority_id, number, this_update, next_update, through, entries, size_bytes, chunks = row
    return CrlRecord(
        id=id_,
        authority_id=authority_id,
        number=number,
        this_update=this_update,
        next_update=next_update,
        through=through,
        entries=entries,
        size_bytes=size_bytes,
        chunks=chunks,
    )
