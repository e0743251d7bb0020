"""Driver connections, opened by SQLAlchemy's engine and kept between uses.

SQLAlchemy's own pool wraps each use in a proxy and resets it at the end, which costs more than a statement on SQLite
(docs/adr/0005). Here a unit of work leaves its connection as it found it, or the connection is closed.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeAlias

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ca_core.kernel.errors import Conflict, DatabaseRefused, DomainError, Unavailable

try:
    import psycopg

    from ca_core.kernel.pipeline import OUTDATED, PipelinedConnection

    _AWAY = (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError, *OUTDATED)
    """What the next try may not meet: a server that is away or has become a standby, a statement that it gave up."""
except ImportError:  # the `postgres` extra is not installed: SQLite alone
    psycopg = None  # type: ignore[assignment]

DriverConnection: TypeAlias = Any
"""A sqlite3.Connection, or a PipelinedConnection to PostgreSQL."""

WAIT_S = 30.0
"""How long a unit of work waits for a connection when all are in use."""

_SQLITE_TAKEN = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"})
_SQLITE_WRONG = frozenset({"SQLITE_ERROR", "SQLITE_AUTH"})


class Connections:
    """At most `limit` connections at once, of which up to `keep` stay open idle. Safe to use from any thread.

    The one used last is used next: its statements and, on SQLite, its pages are the warmest.
    """

    def __init__(self, engine: Engine, *, keep: int, limit: int) -> None:
        self._engine = engine
        self._keep = keep
        self._limit = limit
        self._idle: list[DriverConnection] = []
        self._count = 0
        self._waiting = 0
        self._is_ended = False
        self._changed = threading.Condition()

    def take(self) -> DriverConnection:
        """A connection in autocommit mode, for the caller alone. Raises: Unavailable."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._wait_or_open()

    def give_back(self, connection: DriverConnection) -> None:
        """The connection is clean and may be used by others."""
        if self._is_ended or len(self._idle) >= self._keep:
            self.discard(connection)
            return
        self._idle.append(connection)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def discard(self, connection: DriverConnection) -> None:
        """Closes a connection that is broken, in an unknown state, or one too many."""
        with suppress(Exception):
            connection.close()
        self._closed_one()

    def lost(self, connection: DriverConnection) -> None:
        """The database did not answer on it. The idle ones may be as dead, so that none of them is used again."""
        self.discard(connection)
        self.close()

    def end(self) -> None:
        """Closes the idle connections now, and those in use when they are given back; none is kept from now on."""
        self._is_ended = True
        self.close()

    def close(self) -> None:
        """Closes the idle connections."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self.discard(connection)

    def _wait_or_open(self) -> DriverConnection:
        deadline = time.monotonic() + WAIT_S
        with self._changed:
            self._waiting += 1
            try:
                while self._count >= self._limit:
                    with suppress(IndexError):
                        return self._idle.pop()
                    if not self._changed.wait(deadline - time.monotonic()):
                        raise Unavailable("every connection is in use")
                self._count += 1
            finally:
                self._waiting -= 1
        try:
            pooled = self._engine.raw_connection()
            connection: DriverConnection = pooled.driver_connection
            pooled.detach()
            if self._engine.dialect.name == "postgresql":
                connection = PipelinedConnection(connection)
        except BaseException as error:
            self._closed_one()
            if isinstance(error, Exception):
                raise_translated(error)
            raise
        return connection

    def _closed_one(self) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify()


def raise_translated(error: Exception) -> NoReturn:
    """Raises a driver's exception as Conflict, Unavailable or DatabaseRefused; one that is no driver's as it is.

    SQLAlchemy wraps what its own first exchange with a server meets.
    """
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        error = error.orig
    if isinstance(error, sqlite3.Error):
        raise _of_sqlite(error) from error
    if isinstance(error, (OverflowError, UnicodeError)):  # before the octets reach the database
        raise DatabaseRefused(type(error).__name__) from error
    if psycopg is not None and isinstance(error, psycopg.Error):
        raise _of_postgresql(error) from error
    raise error


def raise_lost(error: Exception) -> NoReturn:
    """The same for BEGIN, COMMIT and savepoints: that one of them is refused means that the transaction is gone."""
    if isinstance(error, sqlite3.Error):
        raise Unavailable(str(error)) from error
    raise_translated(error)


@contextmanager
def translated() -> Iterator[None]:
    """For what runs through SQLAlchemy: its wrapped exceptions of the driver, as `raise_translated`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (raised again, in our terms)
        raise_translated(error)


def _of_sqlite(error: sqlite3.Error) -> DomainError:
    name = getattr(error, "sqlite_errorname", "")
    if name in _SQLITE_TAKEN:
        return Conflict(str(error))
    if (
        isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError))
        or name in _SQLITE_WRONG
    ):
        return DatabaseRefused(str(error))
    return Unavailable(str(error))  # full, locked, read-only, away, or a file that is no database


def _of_postgresql(error: "psycopg.Error") -> DomainError:
    if isinstance(error, psycopg.errors.UniqueViolation):
        return Conflict(str(error.diag.constraint_name))
    if isinstance(error, _AWAY):
        return Unavailable(type(error).__name__)
    if isinstance(error, psycopg.DataError):  # its message may hold the value
        return DatabaseRefused(type(error).__name__)
    return DatabaseRefused(f"{type(error).__name__}: {error.diag.message_primary or error}")
