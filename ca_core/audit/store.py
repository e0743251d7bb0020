"""Tables and statements of the audit log. Rows are only ever inserted, but for the one row of the chain's head."""

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
    desc,
    func,
    select,
    update,
)
from sqlalchemy import insert as insert_

from ca_core.audit.model import GENESIS, Outcome, RecordedEvent
from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from ca_core.schema import metadata

events = Table(
    "audit_events",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("name", String(64), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("detail", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
)
chain = Table(
    "audit_chain",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", BigInteger, nullable=False, unique=True),
    Column("chain_hash", LargeBinary, nullable=False),
)
head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("settled_event_id", BigInteger, nullable=False),
    Column("runs", BigInteger, nullable=False),
)

_APPEND = Statement(
    insert_(events).values(
        at=bindparam("at"),
        name=bindparam("name"),
        actor=bindparam("actor"),
        outcome=bindparam("outcome"),
        subject=bindparam("subject"),
        request_id=bindparam("request_id"),
        detail=bindparam("detail"),
        salt=bindparam("salt"),
        leaf_hash=bindparam("leaf_hash"),
    )
)
_EVENT_COLUMNS = (
    events.c.id,
    events.c.at,
    events.c.name,
    events.c.actor,
    events.c.outcome,
    events.c.subject,
    events.c.request_id,
    events.c.detail,
    events.c.salt,
    events.c.leaf_hash,
)
_RECENT = Statement(select(*_EVENT_COLUMNS).order_by(desc(events.c.id)).limit(bindparam("limit_")))
_LOCK_HEAD = Statement(
    update(head)
    .where(head.c.id == 1)
    .values(runs=head.c.runs + 1)
    .returning(head.c.seq, head.c.chain_hash, head.c.settled_event_id)
)
_READ_HEAD = Statement(select(head.c.seq, head.c.chain_hash, head.c.settled_event_id).where(head.c.id == 1))
_MAKE_HEAD = Statement(
    insert_(head).values(
        id=bindparam("id"),
        seq=bindparam("seq"),
        chain_hash=bindparam("chain_hash"),
        settled_event_id=bindparam("settled_event_id"),
        runs=bindparam("runs"),
    )
)
_MOVE_HEAD = Statement(
    update(head)
    .where(head.c.id == 1)
    .values(seq=bindparam("new_seq"), chain_hash=bindparam("new_hash"), settled_event_id=bindparam("new_settled"))
)
_WAITING = Statement(
    select(events.c.id, events.c.at, events.c.leaf_hash)
    .outerjoin(chain, chain.c.event_id == events.c.id)
    .where(events.c.id > bindparam("after"), chain.c.seq.is_(None))
    .order_by(events.c.id)
    .limit(bindparam("limit_"))
)
_SETTLED = Statement(
    select(func.max(events.c.id)).where(events.c.id > bindparam("after"), events.c.id < bindparam("before"))
)
_FIRST_RECENT = Statement(
    select(events.c.id)
    .where(events.c.id > bindparam("after"), events.c.at > bindparam("since"))
    .order_by(events.c.id)
    .limit(1)
)
_LINK = Statement(
    insert_(chain).values(seq=bindparam("seq"), event_id=bindparam("event_id"), chain_hash=bindparam("chain_hash"))
)
_LINKS = Statement(
    select(chain.c.seq, chain.c.event_id, chain.c.chain_hash, *_EVENT_COLUMNS)
    .outerjoin_from(chain, events, chain.c.event_id == events.c.id)
    .order_by(chain.c.seq)
)
_COUNT_WAITING = Statement(
    select(func.count(), func.min(events.c.id))
    .select_from(events.outerjoin(chain, chain.c.event_id == events.c.id))
    .where(chain.c.seq.is_(None))
)


class Head(NamedTuple):
    sequence: int
    chain_hash: bytes
    settled_event_id: int


def append(tx: Transaction, event: RecordedEvent) -> None:
    """One insert. The row's id is the database's to give."""
    tx.execute(
        _APPEND,
        at=event.at,
        name=event.name,
        actor=event.actor,
        outcome=event.outcome.value,
        subject=event.subject,
        request_id=event.request_id,
        detail=event.detail,
        salt=event.salt,
        leaf_hash=event.leaf_hash,
    )


def recent(tx: Transaction, limit: int) -> list[RecordedEvent]:
    return [_event(row) for row in tx.all(_RECENT, limit_=limit)]


def lock_head(tx: Transaction) -> Head | None:
    """The chain's head, locked until the transaction ends; None before the first run."""
    row = tx.one_or_none(_LOCK_HEAD)
    return None if row is None else Head(*row)


def read_head(tx: Transaction) -> Head | None:
    row = tx.one_or_none(_READ_HEAD)
    return None if row is None else Head(*row)


def make_head(tx: Transaction) -> None:
    """The head of the empty chain. Raises: Conflict where another worker was first."""
    tx.execute(_MAKE_HEAD, id=1, seq=0, chain_hash=GENESIS, settled_event_id=0, runs=0)


def move_head(tx: Transaction, new: Head) -> None:
    tx.execute(_MOVE_HEAD, new_seq=new.sequence, new_hash=new.chain_hash, new_settled=new.settled_event_id)


def waiting(tx: Transaction, *, after: int, limit: int) -> list[tuple[int, datetime, bytes]]:
    """(id, at, leaf hash) of events above `after` that have no link yet, oldest first."""
    return [(row[0], row[1], bytes(row[2])) for row in tx.all(_WAITING, after=after, limit_=limit)]


def last_settled(tx: Transaction, *, after: int, up_to: int, before: datetime) -> int:
    """The highest event id, at most `up_to`, below which no event is younger than `before`."""
    young = tx.one_or_none(_FIRST_RECENT, after=after, since=before)
    bound = up_to + 1 if young is None else min(up_to + 1, int(young[0]))
    row = tx.one_or_none(_SETTLED, after=after, before=bound)
    return after if row is None or row[0] is None else int(row[0])


def link_all(tx: Transaction, links: list[dict[str, object]]) -> None:
    tx.execute_many(_LINK, links)


def links(tx: Transaction) -> Iterator[tuple[int, int, bytes, RecordedEvent | None]]:
    """Every link in order with its event, None where the event is gone. Only inside a snapshot."""
    for row in tx.stream(_LINKS):
        yield row[0], row[1], bytes(row[2]), None if row[3] is None else _event(row[3:])


def count_waiting(tx: Transaction) -> tuple[int, int | None]:
    """How many events have no link, and the lowest of their ids."""
    row = tx.one_or_none(_COUNT_WAITING)
    return (0, None) if row is None else (row[0], row[1])


def _event(row: tuple[object, ...]) -> RecordedEvent:
    id_, at, name, actor, outcome, subject, request_id, detail, salt, leaf = row
    if not (isinstance(id_, int) and isinstance(at, datetime)):
        raise TypeError("not a row of the audit log")
    return RecordedEvent(
        id=id_,
        at=at,
        name=str(name),
        actor=str(actor),
        outcome=Outcome(str(outcome)),
        subject=str(subject),
        request_id=str(request_id),
        detail=str(detail),
        salt=bytes(salt) if isinstance(salt, bytes | memoryview) else b"",
        leaf_hash=bytes(leaf) if isinstance(leaf, bytes | memoryview) else b"",
    )
