"""Tables and statements of the log of status changes. Rows are only ever inserted, but for the one head row."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    and_,
    bindparam,
    desc,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    update,
)

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.revocation.model import Change, RevocationReason, StatusChange
from ca_core.schema import metadata

changes = Table(
    "status_changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("certificate_id", BigId, nullable=False),
    Column("authority_id", BigId, nullable=False),
    Column("serial", String(40), nullable=False),
    Column("change", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("invalidity_date", UtcTime),
    Column("actor", String(128), nullable=False),
    Column("not_after", UtcTime, nullable=False),
    Column("crl_shard", Integer),
    Column("by_origin", Boolean, nullable=False),
    Column("crl_entry_der", LargeBinary, nullable=False),
    Index("ix_status_changes_certificate_id_seq", "certificate_id", "seq", unique=True),
    Index("ix_status_changes_authority_id_seq", "authority_id", "seq"),
)
head = Table(
    "status_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
)

_CHANGE = (
    changes.c.seq,
    changes.c.certificate_id,
    changes.c.authority_id,
    changes.c.serial,
    changes.c.change,
    changes.c.reason,
    changes.c.at,
    changes.c.invalidity_date,
    changes.c.actor,
    changes.c.not_after,
    changes.c.crl_shard,
    changes.c.by_origin,
)
_ADD = Statement(
    insert(changes).values(
        {**{column.name: bindparam(column.name) for column in _CHANGE}, "crl_entry_der": bindparam("crl_entry_der")}
    )
)
_MAKE_HEAD = Statement(text("INSERT INTO status_head (id, seq) VALUES (1, 0) ON CONFLICT (id) DO NOTHING"))
_NEXT = Statement(update(head).where(head.c.id == 1).values(seq=head.c.seq + 1).returning(head.c.seq))
_HOLD = Statement(update(head).where(head.c.id == 1).values(seq=head.c.seq).returning(head.c.seq))
_HEAD = Statement(select(head.c.seq).where(head.c.id == 1))
_LATEST = Statement(
    select(*_CHANGE)
    .where(changes.c.certificate_id == bindparam("certificate_id"))
    .order_by(desc(changes.c.seq))
    .limit(1)
)
_OF_CERTIFICATE = Statement(
    select(*_CHANGE).where(changes.c.certificate_id == bindparam("certificate_id")).order_by(changes.c.seq)
)
_AFTER = Statement(
    select(*_CHANGE).where(changes.c.seq > bindparam("after")).order_by(changes.c.seq).limit(bindparam("limit_"))
)
_later = changes.alias("later")
_LISTED = and_(
    changes.c.authority_id == bindparam("authority_id"),
    changes.c.seq > bindparam("after"),
    changes.c.seq <= bindparam("through"),
    or_(changes.c.not_after >= bindparam("expired_before"), changes.c.seq > bindparam("since_seq")),
    or_(
        changes.c.change == Change.REVOKE.value,
        and_(
            changes.c.change == Change.SUSPEND.value,
            not_(
                exists().where(
                    _later.c.certificate_id == changes.c.certificate_id,
                    _later.c.seq > changes.c.seq,
                    _later.c.seq <= bindparam("through"),
                )
            ),
        ),
    ),
)
_CHANGED = and_(
    changes.c.authority_id == bindparam("authority_id"),
    changes.c.seq > bindparam("after"),
    changes.c.seq <= bindparam("through"),
    not_(
        exists().where(
            _later.c.certificate_id == changes.c.certificate_id,
            _later.c.seq > changes.c.seq,
            _later.c.seq <= bindparam("through"),
        )
    ),
)
_SIZES = (changes.c.crl_shard, func.count(), func.sum(func.length(changes.c.crl_entry_der)))
_LISTED_SIZES = Statement(select(*_SIZES).where(_LISTED).group_by(changes.c.crl_shard))
_CHANGED_SIZES = Statement(select(*_SIZES).where(_CHANGED).group_by(changes.c.crl_shard))
_ENTRY = (changes.c.seq, changes.c.crl_entry_der, changes.c.crl_shard)
_LISTED_ENTRIES = Statement(select(*_ENTRY).where(_LISTED).order_by(changes.c.seq).limit(bindparam("limit_")))
_CHANGED_ENTRIES = Statement(select(*_ENTRY).where(_CHANGED).order_by(changes.c.seq).limit(bindparam("limit_")))
_BY_CERTIFICATE = Statement(
    select(*_CHANGE)
    .where(
        changes.c.authority_id == bindparam("authority_id"),
        changes.c.seq <= bindparam("through"),
    )
    .order_by(changes.c.certificate_id, changes.c.seq)
)
_PAGE = 5_000


def next_sequence(tx: Transaction) -> int:
    """The next number of the log. Whoever has it holds the log's lock until the transaction ends."""
    return _of_head(tx, _NEXT)


def hold_head(tx: Transaction) -> int:
    """The log's latest number, whose lock is held until the transaction ends."""
    return _of_head(tx, _HOLD)


def _of_head(tx: Transaction, statement: Statement) -> int:
    row = tx.one_or_none(statement)
    if row is None:
        tx.execute(_MAKE_HEAD)
        row = tx.one_or_none(statement)
        if row is None:
            raise LookupError("the head of the status log is gone")
    sequence: int = row[0]
    return sequence


def head_sequence(tx: Transaction) -> int:
    row = tx.one_or_none(_HEAD)
    return 0 if row is None else int(row[0])


def add(tx: Transaction, change: StatusChange, crl_entry_der: bytes) -> None:
    tx.execute(
        _ADD,
        seq=change.sequence,
        certificate_id=change.certificate_id,
        authority_id=change.authority_id,
        serial=format(change.serial, "040x"),
        change=change.change.value,
        reason=change.reason.value,
        at=change.at,
        invalidity_date=change.invalidity_date,
        actor=change.actor,
        not_after=change.not_after,
        crl_shard=change.crl_shard,
        by_origin=change.by_origin,
        crl_entry_der=crl_entry_der,
    )


def latest(tx: Transaction, certificate_id: int) -> StatusChange | None:
    row = tx.one_or_none(_LATEST, certificate_id=certificate_id)
    return None if row is None else _change(row)


def of_certificate(tx: Transaction, certificate_id: int) -> list[StatusChange]:
    return [_change(row) for row in tx.all(_OF_CERTIFICATE, certificate_id=certificate_id)]


def changes_after(tx: Transaction, after: int, limit: int) -> list[StatusChange]:
    return [_change(row) for row in tx.all(_AFTER, after=after, limit_=limit)]


def listed_sizes(
    tx: Transaction, *, authority_id: int, through: int, expired_before: datetime, since_seq: int
) -> list[Row]:
    """(shard, entries, octets) of what `listed_entries` yields."""
    return tx.all(
        _LISTED_SIZES,
        authority_id=authority_id,
        after=0,
        through=through,
        expired_before=expired_before,
        since_seq=since_seq,
    )


def listed_entries(
    tx: Transaction, *, authority_id: int, through: int, expired_before: datetime, since_seq: int
) -> Iterator[list[Row]]:
    """(sequence, DER, shard) of the entries of a complete list as of `through`, in the log's order, in pages."""
    after = 0
    while page := tx.all(
        _LISTED_ENTRIES,
        authority_id=authority_id,
        after=after,
        through=through,
        expired_before=expired_before,
        since_seq=since_seq,
        limit_=_PAGE,
    ):
        yield page
        after = page[-1][0]


def changed_sizes(tx: Transaction, *, authority_id: int, after: int, through: int) -> list[Row]:
    """(shard, entries, octets) of what `changed_entries` yields."""
    return tx.all(_CHANGED_SIZES, authority_id=authority_id, after=after, through=through)


def changed_entries(tx: Transaction, *, authority_id: int, after: int, through: int) -> Iterator[list[Row]]:
    """(sequence, DER, shard) of the latest change of each certificate that changed between two numbers, in pages."""
    while page := tx.all(_CHANGED_ENTRIES, authority_id=authority_id, after=after, through=through, limit_=_PAGE):
        yield page
        after = page[-1][0]


def by_certificate(tx: Transaction, authority_id: int, through: int) -> Iterator[StatusChange]:
    """Every change of an authority's certificates, those of one certificate together and oldest first."""
    for row in tx.stream(_BY_CERTIFICATE, authority_id=authority_id, through=through):
        yield _change(row)


def _change(row: Row) -> StatusChange:
    sequence, certificate_id, authority_id, serial, change, reason, at, invalidity_date, actor, *rest = row
    not_after, shard, by_origin = rest
    return StatusChange(
        sequence=sequence,
        certificate_id=certificate_id,
        authority_id=authority_id,
        serial=int(serial, 16),
        change=Change(change),
        reason=RevocationReason(reason),
        at=at,
        invalidity_date=invalidity_date,
        actor=actor,
        not_after=not_after,
        crl_shard=shard,
        by_origin=bool(by_origin),
    )
