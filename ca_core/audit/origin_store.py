"""Table of the log's names. Without a row the first one is open."""

from datetime import datetime

from sqlalchemy import Column, Integer, Table, bindparam, desc, insert, select, update

from ca_core.kernel.database import Statement, Transaction, UtcTime
from ca_core.schema import metadata

origins = Table(
    "audit_origins",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("begun_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime, nullable=True),
)

_LATEST = Statement(select(origins.c.number, origins.c.closed_at).order_by(desc(origins.c.number)).limit(1))
_FIND = Statement(select(origins.c.number).where(origins.c.number == bindparam("number")))
_ADD = Statement(
    insert(origins).values(number=bindparam("number"), begun_at=bindparam("begun_at"), closed_at=bindparam("closed_at"))
)
_CLOSE = Statement(
    update(origins)
    .where(origins.c.number == bindparam("of_number"), origins.c.closed_at.is_(None))
    .values(closed_at=bindparam("now"))
)


def latest(tx: Transaction) -> tuple[int, bool] | None:
    """The highest number, and whether it is closed."""
    row = tx.one_or_none(_LATEST)
    return None if row is None else (int(row[0]), row[1] is not None)


def is_known(tx: Transaction, number: int) -> bool:
    return tx.one_or_none(_FIND, number=number) is not None


def add(tx: Transaction, number: int, *, begun_at: datetime, closed_at: datetime | None) -> None:
    """Raises: Conflict, where the number is there."""
    tx.execute(_ADD, number=number, begun_at=begun_at, closed_at=closed_at)


def close(tx: Transaction, number: int, now: datetime) -> None:
    tx.execute(_CLOSE, of_number=number, now=now)
