"""Tables and statements of the events and their places. Rows are only ever inserted, but for the one row of the head.

The databases themselves refuse to change or delete rows of `audit_events` and `audit_sequence`: append_only.py.
"""

from collections.abc import Callable, Iterator
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
    event,
    func,
    select,
    update,
)
from sqlalchemy import insert as insert_

from ca_core.audit.append_only import protect_created
from ca_core.audit.merkle import EMPTY_ROOT
from ca_core.audit.model import Outcome, RecordedEvent
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
sequence = Table(
    "audit_sequence",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", BigInteger, nullable=False, unique=True),
)
head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root_hash", LargeBinary, nullable=False),
    Column("settled_event_id", BigInteger, nullable=False),
    Column("runs", BigInteger, nullable=False),
)

event.listen(metadata, "after_create", protect_created)

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
    .returning(head.c.size, head.c.root_hash, head.c.settled_event_id)
)
_READ_HEAD = Statement(select(head.c.size, head.c.root_hash, head.c.settled_event_id).where(head.c.id == 1))
_MAKE_HEAD = Statement(
    insert_(head).values(
        id=bindparam("id"),
        size=bindparam("size"),
        root_hash=bindparam("root_hash"),
        settled_event_id=bindparam("settled_event_id"),
        runs=bindparam("runs"),
    )
)
_MOVE_HEAD = Statement(
    update(head)
    .where(head.c.id == 1)
    .values(size=bindparam("new_size"), root_hash=bindparam("new_root"), settled_event_id=bindparam("new_settled"))
)
_WAITING = Statement(
    select(events.c.id, events.c.at, events.c.leaf_hash)
    .outerjoin(sequence, sequence.c.event_id == events.c.id)
    .where(events.c.id > bindparam("after"), sequence.c.leaf_index.is_(None))
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
_PLACE = Statement(insert_(sequence).values(leaf_index=bindparam("leaf_index"), event_id=bindparam("event_id")))
_PLACED = Statement(
    select(sequence.c.leaf_index, sequence.c.event_id, *_EVENT_COLUMNS)
    .outerjoin_from(sequence, events, sequence.c.event_id == events.c.id)
    .where(sequence.c.leaf_index >= bindparam("first"))
    .order_by(sequence.c.leaf_index)
)
_COUNT_WAITING = Statement(
    select(func.count(), func.min(events.c.id))
    .select_from(events.outerjoin(sequence, sequence.c.event_id == events.c.id))
    .where(sequence.c.leaf_index.is_(None))
)


class Head(NamedTuple):
    """The tree as far as it is built. settled_event_id: no event at or below it is expected any more."""

    size: int
    root_hash: bytes
    settled_event_id: int


def append(tx: Transaction, recorded: RecordedEvent, told: Callable[[Exception], Exception]) -> None:
    """One insert. The row's id is the database's to give. told: what a refused row is raised as, here or at the end."""
    tx.add(
        _APPEND,
        told,
        at=recorded.at,
        name=recorded.name,
        actor=recorded.actor,
        outcome=recorded.outcome.value,
        subject=recorded.subject,
        request_id=recorded.request_id,
        detail=recorded.detail,
        salt=recorded.salt,
        leaf_hash=recorded.leaf_hash,
    )


def recent(tx: Transaction, limit: int) -> list[RecordedEvent]:
    return [_event(row) for row in tx.all(_RECENT, limit_=limit)]


def lock_head(tx: Transaction) -> Head | None:
    """The head, locked until the transaction ends; None before the first run."""
    row = tx.one_or_none(_LOCK_HEAD)
    return None if row is None else Head(row[0], bytes(row[1]), row[2])


def read_head(tx: Transaction) -> Head | None:
    row = tx.one_or_none(_READ_HEAD)
    return None if row is None else Head(row[0], bytes(row[1]), row[2])


def make_head(tx: Transaction) -> None:
    """The head of the empty tree. Raises: Conflict where another worker was first."""
    tx.execute(_MAKE_HEAD, id=1, size=0, root_hash=EMPTY_ROOT, settled_event_id=0, runs=0)


def move_head(tx: Transaction, new: Head) -> None:
    tx.execute(_MOVE_HEAD, new_size=new.size, new_root=new.root_hash, new_settled=new.settled_event_id)


def waiting(tx: Transaction, *, after: int, limit: int) -> list[tuple[int, datetime, bytes]]:
    """(id, at, leaf hash) of events above `after` that have no place yet, oldest first."""
    return [(row[0], row[1], bytes(row[2])) for row in tx.all(_WAITING, after=after, limit_=limit)]


def last_settled(tx: Transaction, *, after: int, up_to: int, before: datetime) -> int:
    """The highest event id, at most `up_to`, below which no event is younger than `before`."""
    young = tx.one_or_none(_FIRST_RECENT, after=after, since=before)
    bound = up_to + 1 if young is None else min(up_to + 1, int(young[0]))
    row = tx.one_or_none(_SETTLED, after=after, before=bound)
    return after if row is None or row[0] is None else int(row[0])


def place_all(tx: Transaction, first: int, event_ids: list[int]) -> None:
    """Gives events their places, from the first on. Raises: Conflict, where a place or an event is taken."""
    tx.execute_many(_PLACE, [{"leaf_index": first + at, "event_id": id_} for at, id_ in enumerate(event_ids)])


def placed(tx: Transaction, first: int = 0) -> Iterator[tuple[int, int, RecordedEvent | None]]:
    """(leaf index, event id, event or None where it is gone), in order from an index on. Only inside a snapshot."""
    for row in tx.stream(_PLACED, first=first):
        yield row[0], row[1], None if row[2] is None else _event(row[2:])


def count_waiting(tx: Transaction) -> tuple[int, int | None]:
    """How many events have no place, and the lowest of their ids."""
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
