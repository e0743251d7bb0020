"""The table of restorations, and the statements by which whole databases are measured and compared.

Only here are other features' tables read beside their services: a backup is of the database, whatever is in it.
"""

import json
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Column, String, Table, Text, bindparam, func, insert, select, text, update

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.schema import metadata

restorations = Table(
    "backup_restorations",
    metadata,
    Column("backup_id", String(64), primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("completed_at", UtcTime),
    Column("report", Text),
)

_COMPLETE = Statement(
    update(restorations)
    .where(restorations.c.backup_id == bindparam("wanted_id"), restorations.c.completed_at.is_(None))
    .values(completed_at=bindparam("completed_at"), report=bindparam("report"))
)
_UNFINISHED = Statement(select(restorations.c.backup_id).where(restorations.c.completed_at.is_(None)).limit(1))
_MARK = Statement(insert(restorations).values(backup_id=bindparam("backup_id"), started_at=bindparam("started_at")))
_RESTORATIONS = Statement(select(func.count()).select_from(restorations))
_REPORTS = Statement(select(restorations.c.report).where(restorations.c.report.is_not(None)))
_TREE_SIZE = Statement(text("SELECT size FROM audit_head WHERE id = 1"))
_STATE = Statement(select(restorations.c.completed_at).where(restorations.c.backup_id == bindparam("backup_id")))
_HEAD = Statement(text("SELECT seq FROM status_head WHERE id = 1"))
_LAST_CERTIFICATE = Statement(text("SELECT coalesce(max(id), 0) FROM certificates"))
_CHANGES = Statement(
    text(
        "SELECT seq, authority_id, serial, change, reason, at, invalidity_date FROM status_changes"
        " WHERE seq <= :through ORDER BY seq"
    ).bindparams(bindparam("through", type_=BigId))
)
_CERTIFICATES = Statement(
    text("SELECT id, authority_id, serial, der FROM certificates WHERE id <= :through ORDER BY id").bindparams(
        bindparam("through", type_=BigId)
    )
)
_REUSED = Statement(
    text(
        "SELECT count(*) FROM (SELECT authority_id, serial FROM issuance_intents"
        " GROUP BY authority_id, serial HAVING count(*) > 1) AS twice"
    )
)
_LAYOUTS = Statement(
    text(
        "SELECT authority_id, generation, first_shard, shard_count, slug, publication_url FROM crl_shard_layouts"
        " ORDER BY authority_id, generation"
    )
)
_AUTHORITIES = Statement(text("SELECT id FROM ca_authorities WHERE certificate IS NOT NULL ORDER BY id"))
_IN_PROGRESS = Statement(
    text(
        "SELECT cast(cast(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint),"
        " cast(cast(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
    )
)
_HERE_SQLITE = Statement(
    text("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'backup_restorations'")
)
_HERE_POSTGRESQL = Statement(
    text(
        "SELECT count(*) FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_name = 'backup_restorations'"
    )
)
_TABLES = Statement(text("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"))


def complete(tx: Transaction, backup_id: str, now: datetime, report: str) -> None:
    tx.execute(_COMPLETE, wanted_id=backup_id, completed_at=now, report=report)


def unfinished(tx: Transaction) -> str | None:
    """The backup whose restoration was not brought to its end."""
    row = tx.one_or_none(_UNFINISHED)
    return None if row is None else row[0]


def mark(tx: Transaction, backup_id: str, now: datetime) -> None:
    """Nothing is served from this database before `complete`. Raises: Conflict, where the mark is there."""
    tx.execute(_MARK, backup_id=backup_id, started_at=now)


def count_restorations(tx: Transaction) -> int:
    return _number(tx.one_or_none(_RESTORATIONS))


def settled_through(tx: Transaction) -> int:
    """How many records the journal had when a restoration of this database last ended: all of them were dealt with."""
    reports = [json.loads(row[0]) for row in tx.all(_REPORTS)]
    return max((int(report.get("journal_records", 0)) for report in reports), default=0)


def tree_size(tx: Transaction) -> int:
    """How many entries the audit log's tree has."""
    return _number(tx.one_or_none(_TREE_SIZE))


def restoration_state(tx: Transaction, backup_id: str) -> str:
    """Of the restore of that backup into this database: `none`, `unfinished`, `finished`."""
    if not _number(tx.one_or_none(_HERE_SQLITE if tx.dialect_name == "sqlite" else _HERE_POSTGRESQL)):
        return "none"
    row = tx.one_or_none(_STATE, backup_id=backup_id)
    return "none" if row is None else "unfinished" if row[0] is None else "finished"


def row_counts(tx: Transaction) -> dict[str, int]:
    """Rows of every table of this package."""
    counts = {}
    for table in metadata.sorted_tables:
        row = tx.one_or_none(Statement(select(func.count()).select_from(table)))
        counts[table.name] = 0 if row is None else int(row[0])
    return counts


def status_head(tx: Transaction) -> int:
    return _number(tx.one_or_none(_HEAD))


def last_certificate(tx: Transaction) -> int:
    return _number(tx.one_or_none(_LAST_CERTIFICATE))


def reused_serials(tx: Transaction) -> int:
    return _number(tx.one_or_none(_REUSED))


def authorities(tx: Transaction) -> list[int]:
    return [int(row[0]) for row in tx.all(_AUTHORITIES)]


def shard_layouts(tx: Transaction) -> list[tuple[object, ...]]:
    """Every layout's borders and address."""
    return [tuple(row) for row in tx.all(_LAYOUTS)]


def changes(tx: Transaction, through: int) -> Iterator[Row]:
    """Only inside a snapshot."""
    return tx.stream(_CHANGES, through=through)


def certificates(tx: Transaction, through: int) -> Iterator[Row]:
    """Only inside a snapshot."""
    return tx.stream(_CERTIFICATES, through=through)


def in_progress(tx: Transaction) -> tuple[int, int]:
    """PostgreSQL: the lowest transaction that is not over, and the first that had not begun."""
    row = tx.one_or_none(_IN_PROGRESS)
    if row is None:
        raise TypeError("a select without a table returned no row")
    return int(row[0]), int(row[1])


def has_tables(tx: Transaction) -> bool:
    """PostgreSQL: whether anything was ever put into this database."""
    return _number(tx.one_or_none(_TABLES)) > 0


def _number(row: Row | None) -> int:
    return 0 if row is None else int(row[0])
