"""The journal of imports, what was refused, and which card a holder came with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.migration.model import Cursor, ImportReport, Kind, Refusal
from ca_core.schema import metadata

files = Table(
    "migration_files",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("authority_id", BigId, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("name", String(160), nullable=False),
    Column("at_offset", BigInteger, nullable=False),
    Column("at_line", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("known", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("completed_at", UtcTime),
    UniqueConstraint("kind", "authority_id", "digest"),
)
refusals = Table(
    "migration_refusals",
    metadata,
    Column("file_id", BigId, ForeignKey("migration_files.id"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("place", String(200), nullable=False),
    Column("reason", String(40), nullable=False),
)
holders = Table(
    "migration_holders",
    metadata,
    Column("person_id", String(64), primary_key=True),
    Column("card_number", String(32), nullable=False),
)

_FILE = tuple(column for column in files.c if column.name not in ("actor",))
_BEGIN = Statement(
    insert(files)
    .values({column.name: bindparam(column.name) for column in files.c if column.name not in ("id", "completed_at")})
    .returning(files.c.id)
)
_FIND = Statement(
    select(*_FILE).where(
        files.c.kind == bindparam("kind"),
        files.c.authority_id == bindparam("authority_id"),
        files.c.digest == bindparam("digest"),
    )
)
_ADVANCE = Statement(
    update(files)
    .where(
        files.c.id == bindparam("wanted_id"),
        files.c.at_offset == bindparam("from_offset"),
        files.c.completed_at.is_(None),
    )
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in ("at_offset", "at_line", "accepted", "known", "refused", "reasons", "completed_at")
        }
    )
)
_REOPEN = Statement(
    update(files)
    .where(files.c.id == bindparam("wanted_id"), files.c.completed_at.is_not(None))
    .values(at_offset=0, at_line=0, accepted=0, known=0, refused=0, reasons="{}", completed_at=None)
)
_FORGET_REFUSALS = Statement(delete(refusals).where(refusals.c.file_id == bindparam("wanted_id")))
_REFUSE = Statement(insert(refusals).values({column.name: bindparam(column.name) for column in refusals.c}))
_ALL = Statement(select(*_FILE).where(files.c.id > bindparam("after")).order_by(files.c.id).limit(200))
_REFUSALS = Statement(
    select(files.c.digest, files.c.name, refusals.c.place, refusals.c.reason, refusals.c.number)
    .join(files, files.c.id == refusals.c.file_id)
    .where(refusals.c.file_id == bindparam("file_id"), refusals.c.number > bindparam("after"))
    .order_by(refusals.c.number)
    .limit(1_000)
)
_SET_CARD = Statement(
    text(
        "INSERT INTO migration_holders (person_id, card_number) VALUES (:person_id, :card_number)"
        " ON CONFLICT (person_id) DO UPDATE SET card_number = excluded.card_number"
    )
)
_CARD = Statement(select(holders.c.card_number).where(holders.c.person_id == bindparam("person_id")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A file's row: how far it was read, and what came of it until there."""

    file_id: int
    cursor: Cursor
    report: ImportReport


def begin(tx: Transaction, *, kind: Kind, authority_id: int, digest: str, name: str, actor: str, now: datetime) -> int:
    """Raises: Conflict, where another began with the same file."""
    row = tx.one_or_none(
        _BEGIN,
        kind=kind.value,
        authority_id=authority_id,
        digest=digest,
        name=name,
        at_offset=0,
        at_line=0,
        accepted=0,
        known=0,
        refused=0,
        reasons="{}",
        actor=actor,
        started_at=now,
    )
    if row is None:
        raise TypeError("an insert returned no row")
    return int(row[0])


def find(tx: Transaction, kind: Kind, authority_id: int, digest: str) -> Progress | None:
    row = tx.one_or_none(_FIND, kind=kind.value, authority_id=authority_id, digest=digest)
    return None if row is None else _progress(row)


def advance(tx: Transaction, before: Progress, after: Progress) -> bool:
    """Moves on, together with what was imported. False where another process did meanwhile."""
    report = after.report
    touched = tx.execute(
        _ADVANCE,
        wanted_id=before.file_id,
        from_offset=before.cursor.offset,
        new_at_offset=after.cursor.offset,
        new_at_line=after.cursor.line,
        new_accepted=report.accepted,
        new_known=report.known,
        new_refused=report.refused,
        new_reasons=json.dumps(dict(report.reasons), sort_keys=True),
        new_completed_at=report.completed_at,
    )
    return touched == 1


def reopen(tx: Transaction, progress: Progress) -> bool:
    """A file that was read to its end is to be read again from its beginning. False where another process began."""
    if tx.execute(_REOPEN, wanted_id=progress.file_id) != 1:
        return False
    tx.execute(_FORGET_REFUSALS, wanted_id=progress.file_id)
    return True


def add_refusals(tx: Transaction, file_id: int, first: int, found: Sequence[tuple[str, str]]) -> None:
    """(place, reason) of each, numbered from `first` on."""
    tx.execute_many(
        _REFUSE,
        [
            {"file_id": file_id, "number": number, "place": place[:200], "reason": reason}
            for number, (place, reason) in enumerate(found, first)
        ],
    )


def page(tx: Transaction, after: int) -> list[Progress]:
    """Files in the order in which they were begun, some at a time."""
    return [_progress(row) for row in tx.all(_ALL, after=after)]


def refusals_of(tx: Transaction, file_id: int, after: int) -> list[tuple[int, Refusal]]:
    """Of one file, in order, some at a time."""
    return [
        (number, Refusal(digest=digest, name=name, place=place, reason=reason))
        for digest, name, place, reason, number in tx.all(_REFUSALS, file_id=file_id, after=after)
    ]


def set_cards(tx: Transaction, cards: Mapping[str, str]) -> None:
    """Card numbers by person id."""
    tx.execute_many(_SET_CARD, [{"person_id": person_id, "card_number": number} for person_id, number in cards.items()])


def card_of(tx: Transaction, person_id: str) -> str | None:
    row = tx.one_or_none(_CARD, person_id=person_id)
    return None if row is None else row[0]


def _progress(row: Row) -> Progress:
    file_id, kind, authority_id, digest, name, offset, line, accepted, known, refused, reasons, started, completed = row
    report = ImportReport(
        kind=Kind(kind),
        authority_id=authority_id,
        name=name,
        digest=digest,
        accepted=accepted,
        known=known,
        refused=refused,
        reasons=json.loads(reasons),
        started_at=started,
        completed_at=completed,
    )
    return Progress(file_id=file_id, cursor=Cursor(offset=offset, line=line), report=report)
