"""Driver connections, opened by SQLAlchemy's engine and kept between uses.

SQLAlchemy's own pool wraps each use in a proxy and resets it at the end, which costs more than a statement on SQLite
(docs/adr/0005). Here a unit of work leaves its connection as it found it, or the connection is closed.
"""

import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ca_core.kernel.errors import Conflict, Unavailable

try:
    import psycopg

    from ca_core.kernel.pipeline import OUTDATED, PipelinedConnection

    _AWAY = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.IdleInTransactionSessionTimeout,
        *OUTDATED,
    )
except ImportError:  # the `postgres` extra is not installed: SQLite alone
    psycopg = None  # type: ignore[assignment]

DriverConnection: TypeAlias = Any
"""A sqlite3.Connection, or a PipelinedConnection to PostgreSQL."""

WAIT_S = 30.0
"""How long a unit of work waits for a connection when all are in use."""


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
    """Raises a driver's exception as Conflict or Unavailable, and any other as it is.

    Unavailable is also what the next try may not meet: a prepared statement that the server gave up, a server that has
    become a standby. SQLAlchemy wraps what its own first exchange with a server meets.
    """
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        error = error.orig
    if isinstance(error, sqlite3.IntegrityError):
        raise Conflict(str(error)) from error
    if isinstance(error, sqlite3.OperationalError):
        raise Unavailable(str(error)) from error
    if psycopg is not None:
        if isinstance(error, psycopg.errors.IntegrityError):
            raise Conflict(str(error.diag.constraint_name)) from error
        if isinstance(error, _AWAY):
            raise Unavailable(type(error).__name__) from error
    raise error
