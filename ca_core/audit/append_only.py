"""Tables that the database itself refuses to change: what is written there stays, whoever asks.

A trigger stops mistakes and injected statements. Whoever may drop triggers is found by the Merkle log, not stopped.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, MetaData, Table

APPEND_ONLY_TABLES = ("audit_events", "audit_sequence", "status_changes")
_FUNCTION = "citizenid_refuse_change"


def protection_statements(dialect_name: str, tables: Sequence[str] = APPEND_ONLY_TABLES) -> tuple[str, ...]:
    """The DDL that protects the tables, in order; for a migration's `op.execute`. Refused changes are DatabaseRefused.

    dialect_name: "sqlite" or "postgresql".
    """
    if dialect_name == "sqlite":
        return tuple(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for table in tables
            for verb in ("UPDATE", "DELETE")
        )
    function = (
        f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING "
        "MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = 'restrict_violation'; END $$"
    )
    return (
        function,
        *(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()"
            for table in tables
        ),
    )


def removal_statements(dialect_name: str, tables: Sequence[str] = APPEND_ONLY_TABLES) -> tuple[str, ...]:
    """The DDL that takes the protection away: for a migration's way back, and for tests that tamper."""
    if dialect_name == "sqlite":
        return tuple(f"DROP TRIGGER IF EXISTS {table}_no_{verb}" for table in tables for verb in ("update", "delete"))
    return tuple(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}" for table in tables)


def protect_created(
    _metadata: MetaData, connection: Connection, *, tables: Iterable[Table] = (), **_others: object
) -> None:
    """For `metadata.create_all`: protects those of the tables that were just made. Migrations run the statements."""
    names = [table.name for table in tables if table.name in APPEND_ONLY_TABLES]
    if names:
        for statement in protection_statements(connection.dialect.name, names):
            connection.exec_driver_sql(statement)
