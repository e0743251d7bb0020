"""SQLite or PostgreSQL: Core statements compiled once, run on the driver's own connection.

A `Statement` is a module constant made from a SQLAlchemy Core statement. It is compiled at its first use for a dialect
and then costs a dictionary look-up a call, so that the statements of a login cost about what the driver alone costs
(docs/adr/0004). Expanding parameters (`in_` with a list) are therefore not supported: use a loop or `execute_many`.

Rows are plain tuples in the order of the statement's columns, converted by the column types.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from ca_core.kernel.connections import Connections, raise_lost, raise_translated
from ca_core.kernel.errors import Unavailable
from ca_core.kernel.statements import BigId, Prepared, Row, Statement, Told, UtcTime

__all__ = ["BigId", "Database", "Row", "Statement", "Transaction", "UtcTime", "sqlite_url"]

_NUMBERED = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's __init__ has no types
"""Statements as PostgreSQL itself takes them, with $1, $2."""


class Transaction:
    """One unit of work on one connection. Never kept past its `with` block; no network or HSM call inside."""

    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    @property
    def dialect_name(self) -> str:
        return self._dialect.name

    def one_or_none(self, statement: Statement, **params: Any) -> Row | None:
        """The first row, or None where there is none. The statement is expected to yield at most one."""
        prepared = statement.prepared(self._dialect)
        try:
            cursor = self._connection.execute(prepared.sql, prepared.values(params))
            raw = cursor.fetchone()
            cursor.close()
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)
        return None if raw is None else prepared.row(raw)

    def ask(self, statement: Statement, **params: Any) -> Callable[[], Row | None]:
        """As `one_or_none`, for a statement that only reads, its row to be had by a call. On PostgreSQL it travels with
        the next `one_or_none`, and so costs no exchange of its own."""
        row = self.one_or_none(statement, **params)
        return lambda: row

    def all(self, statement: Statement, **params: Any) -> list[Row]:
        """Every row. For a bounded number of them; else `stream`."""
        prepared = statement.prepared(self._dialect)
        try:
            cursor = self._connection.execute(prepared.sql, prepared.values(params))
            raws = cursor.fetchall()
            cursor.close()
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)
        return [prepared.row(raw) for raw in raws]

    def execute(self, statement: Statement, **params: Any) -> int:
        """Runs it and returns how many rows it touched."""
        prepared = statement.prepared(self._dialect)
        try:
            cursor = self._connection.execute(prepared.sql, prepared.values(params))
            count = int(cursor.rowcount)
            cursor.close()
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)
        return count

    def add(self, statement: Statement, told: Told | None = None, /, **params: Any) -> None:
        """A write whose count nobody needs. On PostgreSQL it travels with the next statement or the commit, and what is
        wrong with it is raised there. told: what that is raised as, wherever it is."""
        try:
            self.execute(statement, **params)
        except Exception as error:
            if told is None:
                raise
            raise told(error) from error

    def execute_many(self, statement: Statement, rows: Iterable[Mapping[str, Any]]) -> None:
        """The same statement for each of the rows."""
        prepared = statement.prepared(self._dialect)
        try:
            cursor = self._connection.cursor()
            cursor.executemany(prepared.sql, [prepared.values(row) for row in rows])
            cursor.close()
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)

    def stream(self, statement: Statement, *, batch: int = 2_000, **params: Any) -> Iterator[Row]:
        """Rows in bounded memory, at most `batch` of them at once. Only inside `Database.snapshot`."""
        prepared = statement.prepared(self._dialect)
        try:
            cursor = self._stream_cursor()
            try:
                cursor.execute(prepared.sql, prepared.values(params))
                while raws := cursor.fetchmany(batch):
                    for raw in raws:
                        yield prepared.row(raw)
            finally:
                cursor.close()
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)

    def _stream_cursor(self) -> Any:
        return self._connection.cursor()


class _Ahead:
    """A read that waits for company, and what came of it."""

    __slots__ = ("raws", "statement", "values")

    def __init__(self, statement: Prepared, values: list[Any]) -> None:
        self.statement = statement
        self.values = values
        self.raws: list[Row] | None = None


class PipelinedTransaction(Transaction):
    """On PostgreSQL: see `PipelinedConnection`."""

    __slots__ = ("_ahead",)

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        super().__init__(connection, dialect)
        self._ahead: _Ahead | None = None

    def ask(self, statement: Statement, **params: Any) -> Callable[[], Row | None]:
        prepared = statement.prepared(self._dialect)
        ahead = self._ahead = _Ahead(prepared, prepared.values(params))

        def row() -> Row | None:
            if ahead.raws is None:
                self._ahead = None
                return self.one_or_none(statement, **params)
            return prepared.row(ahead.raws[0]) if ahead.raws else None

        return row

    def one_or_none(self, statement: Statement, **params: Any) -> Row | None:
        prepared = statement.prepared(self._dialect)
        values = prepared.values(params)
        ahead, self._ahead = self._ahead, None
        try:
            if ahead is None or not prepared.is_read:
                raws, _ = self._connection.query(prepared, values)
            else:
                ahead.raws, raws = self._connection.read_both((ahead.statement, ahead.values), (prepared, values))
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)
        return prepared.row(raws[0]) if raws else None

    def all(self, statement: Statement, **params: Any) -> list[Row]:
        prepared = statement.prepared(self._dialect)
        values = prepared.values(params)
        try:
            raws, _ = self._connection.query(prepared, values)
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)
        return [prepared.row(raw) for raw in raws]

    def execute(self, statement: Statement, **params: Any) -> int:
        prepared = statement.prepared(self._dialect)
        values = prepared.values(params)
        try:
            _, count = self._connection.query(prepared, values)
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)
        return int(count)

    def add(self, statement: Statement, told: Told | None = None, /, **params: Any) -> None:
        prepared = statement.prepared(self._dialect)
        values = prepared.values(params)
        try:
            self._connection.queue(prepared, values, told)
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)

    def execute_many(self, statement: Statement, rows: Iterable[Mapping[str, Any]]) -> None:
        prepared = statement.prepared(self._dialect)
        try:
            self._connection.begin_now()
            with self._connection.driver.cursor() as cursor:
                cursor.executemany(prepared.sql, [prepared.values(row) for row in rows])
        except Exception as error:  # noqa: BLE001  (raised again, in our terms)
            raise_translated(error)

    def _stream_cursor(self) -> Any:
        self._connection.begin_now()
        return self._connection.driver.cursor(name="stream")


class Database:
    """A database and its bounded pool of connections.

    read(): statements that need no common snapshot. snapshot(): reads that see one moment. write(): a transaction that
    commits on clean exit and rolls back on any exception; on SQLite it takes the write lock at once (BEGIN IMMEDIATE),
    so two writers queue instead of failing half way. together(): several of them made durable by one commit.
    """

    def __init__(self, engine: Engine, *, keep: int = 10, limit: int = 30) -> None:
        self.engine = engine
        self.dialect: Dialect = engine.dialect if engine.dialect.name == "sqlite" else _NUMBERED
        self.connections = Connections(engine, keep=keep, limit=limit)
        self.here = _Here()
        self.transaction = Transaction if engine.dialect.name == "sqlite" else PipelinedTransaction
        self._begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"
        self._begin_snapshot = (
            "BEGIN" if engine.dialect.name == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )

    @classmethod
    def open(cls, url: str, *, pool_size: int = 10) -> "Database":
        """A database by SQLAlchemy URL: `sqlite:////absolute/path.db` or `postgresql+psycopg://...`.

        Nothing is connected until the first use. Migrations are `citizenid db upgrade`.
        """
        if url.startswith("sqlite"):
            engine = create_engine(url, pool_size=pool_size, max_overflow=20, connect_args={"timeout": 10})
            event.listen(engine, "connect", _configure_sqlite)
            limit = pool_size + 20
        else:
            engine = create_engine(url, pool_size=pool_size, max_overflow=10, paramstyle="format", pool_pre_ping=False)
            event.listen(engine, "connect", _configure_postgresql)
            limit = pool_size + 10
        event.listen(engine, "begin", _begin_explicitly)
        return cls(engine, keep=pool_size, limit=limit)

    @property
    def dialect_name(self) -> str:
        return self.dialect.name

    @property
    def is_embedded(self) -> bool:
        """True on SQLite, where a statement costs less than a thread hop."""
        return self.dialect.name == "sqlite"

    def dispose(self) -> None:
        """Closes the idle connections; those in use are closed when they are given back."""
        self.connections.end()
        self.engine.dispose()

    def read(self) -> "_Unit":
        together = self.here.together
        return _Unit(self, None) if together is None else _Joined(self, together, writes=False)

    def write(self) -> "_Unit":
        if not self.is_embedded:
            return _Deferred(self, self._begin)
        together = self.here.together
        return _Unit(self, self._begin) if together is None else _Joined(self, together, writes=True)

    def snapshot(self) -> "_Unit":
        """Always on a connection of its own, also inside `together`."""
        return _Unit(self, self._begin_snapshot)

    def together(self) -> "Together":
        """Units of work of this thread, from here to the end of the block, on one connection and with one commit.

        Each stays whole by itself: one that raises is undone alone. A later one sees what earlier ones wrote. Nothing
        is durable before the block has ended, so nobody may be told before. Raises: Unavailable where the commit
        fails; then none of them happened. SQLite alone: elsewhere the database does this between its connections.
        """
        if not self.is_embedded:
            raise TypeError("together() is for SQLite")
        return Together(self, self._begin)


class _Unit:
    """One use of a connection, with or without a transaction around it."""

    __slots__ = ("_begin", "_connection", "_database")

    def __init__(self, database: Database, begin: str | None) -> None:
        self._database = database
        self._begin = begin
        self._connection: Any = None

    def __enter__(self) -> Transaction:
        database = self._database
        self._connection = connection = database.connections.take()
        if self._begin is not None:
            try:
                connection.execute(self._begin)
            except BaseException as error:
                database.connections.lost(connection)
                if isinstance(error, Exception):
                    raise_lost(error)
                raise
        return database.transaction(connection, database.dialect)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, connections = self._connection, self._database.connections
        if isinstance(error, Unavailable):
            connections.lost(connection)
            return
        if error is not None and self._begin is not None and not _undone(connection):
            connections.discard(connection)
            return
        if error is None and self._begin is not None:
            try:
                connection.execute("COMMIT")
            except BaseException as failure:
                connections.discard(connection)  # which rolls back whatever is left
                if isinstance(failure, Exception):
                    raise_lost(failure)
                raise
        connections.give_back(connection)


class _Deferred(_Unit):
    """A transaction on PostgreSQL, begun with its first write."""

    __slots__ = ()

    def __enter__(self) -> Transaction:
        database = self._database
        self._connection = connection = database.connections.take()
        connection.defer_begin()
        return PipelinedTransaction(connection, database.dialect)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, connections = self._connection, self._database.connections
        if isinstance(error, Unavailable):
            connections.lost(connection)
            return
        if error is not None:
            self._undo()
            return
        try:
            connection.commit()
        except BaseException as failure:
            if not isinstance(failure, Exception):
                self._undo()
                raise
            try:
                raise_translated(failure)
            except Unavailable:
                connections.lost(connection)
                raise
            except Exception:
                self._undo()
                raise
        connections.give_back(connection)

    def _undo(self) -> None:
        """Nothing of the transaction stays; the connection is used again if it said so."""
        try:
            self._connection.rollback()
        except Exception:  # noqa: BLE001  (whatever the driver says, the connection is not used again)
            self._database.connections.lost(self._connection)
        else:
            self._database.connections.give_back(self._connection)


class Together:
    """See `Database.together`."""

    __slots__ = ("_begin", "_database", "connection", "is_begun", "is_lost")

    def __init__(self, database: Database, begin: str) -> None:
        self._database = database
        self._begin = begin
        self.connection: Any = None
        self.is_begun = False
        self.is_lost = False

    def __enter__(self) -> None:
        self.connection = self._database.connections.take()
        self._database.here.together = self

    def begin(self) -> None:
        """The common transaction, begun by the first unit that writes. Raises: Unavailable."""
        if self.is_lost:
            raise Unavailable("the common transaction is lost")
        if not self.is_begun:
            self.connection.execute(self._begin)
            self.is_begun = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.here.together = None
        connections = self._database.connections
        if self.is_lost or error is not None:
            connections.discard(self.connection)
            if error is None:
                raise Unavailable("the common transaction was lost")
            return
        if self.is_begun:
            try:
                self.connection.execute("COMMIT")
            except BaseException as failure:
                connections.discard(self.connection)
                if isinstance(failure, Exception):
                    raise_lost(failure)
                raise
        connections.give_back(self.connection)


class _Joined(_Unit):
    """A unit inside `together`: a savepoint of the common transaction."""

    __slots__ = ("_together", "_writes")

    def __init__(self, database: Database, together: Together, *, writes: bool) -> None:
        super().__init__(database, None)
        self._together = together
        self._writes = writes

    def __enter__(self) -> Transaction:
        together = self._together
        if self._writes:
            try:
                together.begin()
                together.connection.execute("SAVEPOINT unit")
            except sqlite3.Error as error:
                together.is_lost = True
                raise_lost(error)
        return Transaction(together.connection, self._database.dialect)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._writes:
            return
        together = self._together
        try:
            if error is not None:
                together.connection.execute("ROLLBACK TO unit")
            together.connection.execute("RELEASE unit")
        except sqlite3.Error as failure:  # SQLite gave up the whole transaction: disk full, I/O error
            together.is_lost = True
            if error is None:
                raise_lost(failure)


class _Here(threading.local):
    """What this thread is in the middle of."""

    together: Together | None = None


def _undone(connection: Any) -> bool:
    """Whether the transaction is rolled back, so that the connection can be used again."""
    try:
        connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001  (whatever the driver says, the connection is not used again)
        return False
    return True


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


def _configure_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError("not a sqlite3 connection")
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_explicitly(connection: Connection) -> None:
    """For `engine.begin()`, which migrations use: the drivers are in autocommit mode, so a transaction is asked for."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.dialect.name == "sqlite" else "BEGIN")


def _configure_postgresql(connection: Any, _record: ConnectionPoolEntry) -> None:
    connection.autocommit = True
