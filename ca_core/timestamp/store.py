"""Tables of time-stamping units and of every stamp that was given."""

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
    bindparam,
    desc,
    func,
    insert,
    select,
    update,
)

from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from ca_core.schema import metadata
from ca_core.timestamp.model import Stamp

units = Table(
    "timestamp_units",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("authority_id", BigId, nullable=False, index=True),
    Column("key_label", String(64), nullable=False, unique=True),
    Column("certificate_id", BigId, nullable=True),
    Column("certificate", LargeBinary, nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Column("refused_at", UtcTime, nullable=True),
)
stamps = Table(
    "timestamps",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("serial", String(40), nullable=False, unique=True),
    Column("gen_time", UtcTime, nullable=False, index=True),
    Column("unit_id", BigId, nullable=False),
    Column("algorithm", String(16), nullable=False),
    Column("imprint", LargeBinary, nullable=False),
)
sealed = Table(
    "timestamp_seal",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("through_id", BigInteger, nullable=False),
)

_ORDER = Statement(
    insert(units).values(
        authority_id=bindparam("authority_id"), key_label=bindparam("key_label"), created_at=bindparam("created_at")
    )
)
_OPEN_ORDERS = Statement(
    select(units.c.key_label)
    .where(
        units.c.authority_id == bindparam("authority_id"),
        units.c.certificate_id.is_(None),
        units.c.refused_at.is_(None),
    )
    .order_by(desc(units.c.id))
    .limit(64)
)
_COMPLETE = Statement(
    update(units)
    .where(units.c.key_label == bindparam("label"))
    .values(certificate_id=bindparam("new_certificate_id"), certificate=bindparam("new_certificate"))
)
_REFUSE = Statement(update(units).where(units.c.key_label == bindparam("label")).values(refused_at=bindparam("now")))
_UNITS = Statement(
    select(units.c.id, units.c.certificate_id, units.c.key_label, units.c.certificate)
    .where(units.c.authority_id == bindparam("authority_id"), units.c.certificate_id.is_not(None))
    .order_by(desc(units.c.id))
    .limit(64)
)
_ADD = Statement(
    insert(stamps).values(
        serial=bindparam("serial"),
        gen_time=bindparam("gen_time"),
        unit_id=bindparam("unit_id"),
        algorithm=bindparam("algorithm"),
        imprint=bindparam("imprint"),
    )
)
_NEWEST = Statement(select(stamps.c.gen_time).order_by(desc(stamps.c.gen_time)).limit(1))
_RANGE = Statement(
    select(stamps.c.id, stamps.c.serial, stamps.c.gen_time, stamps.c.unit_id, stamps.c.algorithm, stamps.c.imprint)
    .where(stamps.c.id > bindparam("after"), stamps.c.id <= bindparam("through"))
    .order_by(stamps.c.id)
)
_LAST_BEFORE = Statement(
    select(func.max(stamps.c.id)).where(stamps.c.id > bindparam("after"), stamps.c.gen_time < bindparam("before"))
)
_SEALED = Statement(select(sealed.c.through_id).where(sealed.c.id == 1))
_BEGIN_SEALS = Statement(insert(sealed).values(id=bindparam("id"), through_id=bindparam("through_id")))
_SEAL = Statement(
    update(sealed)
    .where(sealed.c.id == 1, sealed.c.through_id == bindparam("was"))
    .values(through_id=bindparam("through"))
)


class UnitRow(NamedTuple):
    id: int
    certificate_id: int
    key_label: str
    certificate_der: bytes


class StampRow(NamedTuple):
    """serial: 40 hexadecimal digits."""

    id: int
    serial: str
    gen_time: datetime
    unit_id: int
    algorithm: str
    imprint: bytes


def add_order(tx: Transaction, authority_id: int, key_label: str, now: datetime) -> None:
    tx.execute(_ORDER, authority_id=authority_id, key_label=key_label, created_at=now)


def open_orders(tx: Transaction, authority_id: int) -> list[str]:
    """Labels of keys whose certificate is still to come, newest first, at most 64."""
    return [row[0] for row in tx.all(_OPEN_ORDERS, authority_id=authority_id)]


def complete_order(tx: Transaction, key_label: str, certificate_id: int, certificate: bytes) -> None:
    tx.execute(_COMPLETE, label=key_label, new_certificate_id=certificate_id, new_certificate=certificate)


def refuse_order(tx: Transaction, key_label: str, now: datetime) -> None:
    tx.execute(_REFUSE, label=key_label, now=now)


def newest_units(tx: Transaction, authority_id: int) -> list[UnitRow]:
    """Those with a certificate, newest first, at most 64: nodes with keys of their own have one each."""
    return [UnitRow(row[0], row[1], row[2], bytes(row[3])) for row in tx.all(_UNITS, authority_id=authority_id)]


def newest_gen_time(tx: Transaction) -> datetime | None:
    """The latest moment that was ever stamped, on any node."""
    row = tx.one_or_none(_NEWEST)
    return None if row is None else row[0]


def add_stamp(tx: Transaction, stamp: Stamp, unit_id: int) -> None:
    """Raises: Conflict, where the serial was used before."""
    tx.execute(
        _ADD,
        serial=format(stamp.serial, "040x"),
        gen_time=stamp.gen_time,
        unit_id=unit_id,
        algorithm=stamp.request.algorithm,
        imprint=stamp.request.imprint,
    )


def stamps_in(tx: Transaction, after: int, through: int) -> Iterator[StampRow]:
    """By id. Only inside a snapshot."""
    for row in tx.stream(_RANGE, after=after, through=through):
        yield StampRow(row[0], row[1], row[2], row[3], row[4], bytes(row[5]))


def last_before(tx: Transaction, after: int, before: datetime) -> int | None:
    """The highest id above `after` whose stamp is older than `before`."""
    row = tx.one_or_none(_LAST_BEFORE, after=after, before=before)
    return None if row is None else row[0]


def sealed_through(tx: Transaction) -> int | None:
    row = tx.one_or_none(_SEALED)
    return None if row is None else row[0]


def begin_seals(tx: Transaction) -> None:
    """Raises: Conflict, where another worker was first."""
    tx.execute(_BEGIN_SEALS, id=1, through_id=0)


def seal_through(tx: Transaction, was: int, through: int) -> bool:
    """False where another worker was first."""
    return tx.execute(_SEAL, was=was, through=through) == 1
