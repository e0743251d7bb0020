"""SQLite or PostgreSQL: Core statements compiled once, run on the driver's own connection.

A `Statement` is a module constant made from a SQLAlchemy Core statement. It is compiled at its first use for a dialect
and then costs a dictionary look-up a call, so that the statements of a login cost about what the driver alone costs
(docs/adr/0004). Expanding parameters (`in_` with a list) are therefore not supported: use a loop or `execute_many`.

Rows are plain tuples in the order of the statement's columns, converted by the column types.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Dialect, Engine, Integer, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator

from ca_core.kernel.errors import Conflict, Unavailable

try:
    import psycopg
except ImportError:  # the `postgres` extra is not installed: SQLite alone
    psycopg = None  # type: ignore[assignment]

Row = tuple[Any, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key; on SQLite the rowid, so that it can autoincrement."""


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970 in a 64-bit integer: the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Statement:
    """A Core statement, compiled once for each dialect. Make these module constants."""

    __slots__ = ("_core", "_prepared")

    def __init__(self, core: ClauseElement) -> None:
        self._core = core
        self._prepared: dict[str, _Prepared] = {}

    def prepared(self, dialect: Dialect) -> "_Prepared":
        """The compiled form for this dialect, made at the first call."""
        found = self._prepared.get(dialect.name)
        if found is None:
            found = self._prepared[dialect.name] = _Prepared(self._core, dialect)
        return found


class _Prepared:
    __slots__ = ("_defaults", "_getters", "_results", "sql")

    def __init__(self, core: ClauseElement, dialect: Dialect) -> None:
        compiled = core.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("not a SQL statement")
        self.sql = str(compiled)
        self._getters: list[tuple[str, Callable[[Any], Any] | None]] = []
        self._defaults: dict[str, Any] = {}
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
            self._getters.append((name, processor))
            if not bind.required:
                self._defaults[name] = bind.effective_value
        columns = getattr(core, "exported_columns", ())
        self._results: list[tuple[int, Callable[[Any], Any]]] = []
        for index, column in enumerate(columns):
            processor = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if processor is not None:
                self._results.append((index, processor))

    def values(self, params: Mapping[str, object]) -> list[Any]:
        """The positional parameters. A missing one is a KeyError, an unknown one a TypeError."""
        defaults = self._defaults
        out = []
        used = 0
        for name, processor in self._getters:
            if name in params:
                value = params[name]
                used += 1
            else:
                value = defaults[name]
            out.append(value if processor is None else processor(value))
        if used < len(params):
            names = {name for name, _ in self._getters}
            unknown = sorted(set(params) - names)
            if unknown:
                raise TypeError(f"no such parameter: {', '.join(unknown)}")
        return out

    def row(self, raw: Sequence[Any]) -> Row:
        if not self._results:
            return tuple(raw)
        cells = list(raw)
        for index, processor in self._results:
            cells[index] = processor(cells[index])
        return tuple(cells)


class Transaction:
    """One unit of work on one connection. Never kept past its `with` block; no network or HSM call inside."""

    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    @property
    def dialect_name(self) -> str:
        return self._dialect.name

    def one_or_none(self, statement: Statement, **params: object) -> Row | None:
        """The first row, or None where there is none. The statement is expected to yield at most one."""
        prepared = statement.prepared(self._dialect)
        with _translated():
            cursor = self._connection.execute(prepared.sql, prepared.values(params))
            raw = cursor.fetchone()
            cursor.close()
        return None if raw is None else prepared.row(raw)

    def all(self, statement: Statement, **params: object) -> list[Row]:
        """Every row. For a bounded number of them; else `stream`."""
        prepared = statement.prepared(self._dialect)
        with _translated():
            cursor = self._connection.execute(prepared.sql, prepared.values(params))
            raws = cursor.fetchall()
            cursor.close()
        return [prepared.row(raw) for raw in raws]

    def execute(self, statement: Statement, **params: object) -> int:
        """Runs it and returns how many rows it touched."""
        prepared = statement.prepared(self._dialect)
        with _translated():
            cursor = self._connection.execute(prepared.sql, prepared.values(params))
            count = int(cursor.rowcount)
            cursor.close()
        return count

    def execute_many(self, statement: Statement, rows: Iterable[Mapping[str, Any]]) -> None:
        """The same statement for each of the rows."""
        prepared = statement.prepared(self._dialect)
        with _translated():
            cursor = self._connection.cursor()
            cursor.executemany(prepared.sql, [prepared.values(row) for row in rows])
            cursor.close()

    def stream(self, statement: Statement, *, batch: int = 2_000, **params: object) -> Iterator[Row]:
        """Rows in bounded memory, at most `batch` of them at once. Only inside `Database.snapshot`."""
        prepared = statement.prepared(self._dialect)
        with _translated():
            if self._dialect.name == "postgresql":
                cursor = self._connection.cursor(name="stream")
            else:
                cursor = self._connection.cursor()
            cursor.execute(prepared.sql, prepared.values(params))
            try:
                while raws := cursor.fetchmany(batch):
                    for raw in raws:
                        yield prepared.row(raw)
            finally:
                cursor.close()


class Database:
    """A database and its bounded pool of connections.

    read(): statements that need no common snapshot. snapshot(): reads that see one moment. write(): a transaction that
    commits on clean exit and rolls back on any exception; on SQLite it takes the write lock at once (BEGIN IMMEDIATE),
    so two writers queue instead of failing half way.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._dialect = engine.dialect
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
        else:
            engine = create_engine(url, pool_size=pool_size, max_overflow=10, paramstyle="format", pool_pre_ping=False)
            event.listen(engine, "connect", _configure_postgresql)
        event.listen(engine, "begin", _begin_explicitly)
        return cls(engine)

    @property
    def dialect_name(self) -> str:
        return self._dialect.name

    @property
    def is_embedded(self) -> bool:
        """True on SQLite, where a statement costs less than a thread hop."""
        return self._dialect.name == "sqlite"

    def dispose(self) -> None:
        """Closes the pooled connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._connection() as connection:
            yield Transaction(connection, self._dialect)

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        with self._transaction(self._begin_snapshot) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._transaction(self._begin) as tx:
            yield tx

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        with self._connection() as connection:
            with _translated():
                connection.execute(begin)
            try:
                yield Transaction(connection, self._dialect)
            except BaseException:
                connection.rollback()
                raise
            with _translated():
                connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        with _translated():
            pooled = self.engine.raw_connection()
        try:
            yield pooled.driver_connection
        except BaseException as error:
            if _is_connection_loss(error):
                pooled.invalidate()
            raise
        finally:
            pooled.close()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


@contextmanager
def _translated() -> Iterator[None]:
    """Driver exceptions become Conflict or Unavailable; programming errors stay what they are."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise Conflict(str(error)) from error
    except sqlite3.OperationalError as error:
        raise Unavailable(str(error)) from error
    except Exception as error:
        if psycopg is not None:
            if isinstance(error, psycopg.errors.IntegrityError):
                raise Conflict(str(error.diag.constraint_name)) from error
            if isinstance(error, psycopg.OperationalError):
                raise Unavailable(type(error).__name__) from error
        raise


def _is_connection_loss(error: BaseException) -> bool:
    return isinstance(error, Unavailable)


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
