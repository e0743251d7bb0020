"""The database itself refuses to change what is append-only."""

import pytest
from sqlalchemy import Engine, text

from ca_core.audit import AuditEvent, AuditLog, AuditSequencer, Outcome, verify_log
from ca_core.audit.append_only import APPEND_ONLY_TABLES, protection_statements, removal_statements
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.errors import DatabaseRefused
from support.fakes import FakeClock, SeededRng

CHANGES = {
    "audit_events": "UPDATE audit_events SET actor = 'system:other'",
    "audit_sequence": "UPDATE audit_sequence SET event_id = event_id + 1",
}


@pytest.fixture
def filled(database: Database, clock: FakeClock, rng: SeededRng) -> Database:
    with database.write() as tx:
        AuditLog(clock, rng).append(tx, AuditEvent(name="test.done", actor="system:test", outcome=Outcome.OK))
    AuditSequencer(database, clock).run_once()
    return database


def try_to(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("table", sorted(CHANGES))
def test_neither_update_nor_delete(filled: Database, table: str) -> None:
    for statement in (CHANGES[table], f"DELETE FROM {table}"):  # noqa: S608 - names from this file
        with pytest.raises(DatabaseRefused, match="is append-only"), filled.write() as tx:
            tx.execute(Statement(text(statement)))
    assert verify_log(filled).chained == 1


def test_no_truncate(filled: Database) -> None:
    if filled.is_embedded:  # SQLite has no TRUNCATE; its DELETE without WHERE is refused above
        return
    for table in APPEND_ONLY_TABLES:
        with pytest.raises(Exception, match="append-only"):
            try_to(filled.engine, f"TRUNCATE {table}")
    assert verify_log(filled).chained == 1


def test_the_way_back_and_forth(filled: Database) -> None:
    for statement in removal_statements(filled.dialect_name):
        try_to(filled.engine, statement)
    try_to(filled.engine, "UPDATE audit_events SET actor = 'system:other' WHERE id = 0")
    for statement in protection_statements(filled.dialect_name):
        try_to(filled.engine, statement)
    with pytest.raises(DatabaseRefused), filled.write() as tx:
        tx.execute(Statement(text("DELETE FROM audit_events")))
