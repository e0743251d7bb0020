"""A PostgreSQL connection whose statements are prepared once and sent several at a time (docs/adr/0005).

libpq's pipeline mode, through `psycopg.pq`: what is waiting to be sent goes out in one message, and the thread waits
once for all of it. psycopg's own cursors run on the same connection for what is rare: streams and `executemany`.
"""

import select
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from ca_core.kernel.statements import Prepared, Told

_BINARY = 1
_READ, _WRITE = select.POLLIN, select.POLLOUT
_ANSWERS = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})
OUTDATED = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)
"""How PostgreSQL refuses a prepared statement: its tables changed ("cached plan must not change result type"), or the
statement is gone."""
Read = tuple[Prepared, Sequence[Any]]
"""A statement and its parameters."""
_Values = tuple[list[bytes | None], list[int]]
_Command = tuple[Prepared | bytes, _Values, Told | None]


class PipelinedConnection:
    """One connection in autocommit mode, for one thread at a time.

    A transaction begins with the first statement that writes or locks: what only reads before it needs none at READ
    COMMITTED, where every statement has a snapshot of its own. `BEGIN` travels with that statement, and what was queued
    with whatever comes next. A transaction that is one queued statement is sent without `BEGIN` and `COMMIT`.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.cursor_factory = psycopg.RawCursor
        connection.server_cursor_factory = psycopg.RawServerCursor
        self.driver = connection
        self._pg = connection.pgconn
        self._rows = Transformer(connection)
        self._poll = select.poll()
        self._poll.register(self._pg.socket, _READ)
        self._names: dict[Prepared | bytes, bytes] = {}
        self._numbers = count()
        self._waiting: list[_Command] = []
        self._is_deferred = False
        self._is_begun = False
        self._is_clean = True

    @property
    def closed(self) -> bool:
        return self.driver.closed

    def close(self) -> None:
        self.driver.close()

    def execute(self, sql: str) -> None:
        """A statement without parameters, at once."""
        self._run((sql.encode(), _NOTHING, None))

    def defer_begin(self) -> None:
        """A transaction is wanted; it begins with the first statement that needs it."""
        self._is_deferred = True

    def begin_now(self) -> None:
        """Whatever is queued is sent, in its transaction: for psycopg's own cursors."""
        self._begin()
        if self._waiting:
            self._run()

    def queue(self, statement: Prepared, values: Sequence[Any], told: Told | None = None) -> None:
        """Sent with the next statement or the commit; if it fails, that fails, as `told` says. Outside a transaction:
        at once."""
        self._begin()
        if self._is_begun:
            self._waiting.append((statement, _on_the_wire(values), told))
        else:
            self._run((statement, _on_the_wire(values), told))

    def query(self, statement: Prepared, values: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
        """The rows that came back, and how many were touched."""
        if not statement.is_read:
            self._begin()
        (result,) = self._asked((statement, values))
        if result.status == ExecStatus.TUPLES_OK:
            return self._loaded(result), result.ntuples
        return [], result.command_tuples or 0

    def read_both(self, first: Read, second: Read) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The rows of two statements that only read, by one exchange; each sees a moment of its own, in that order."""
        one, other = self._asked(first, second)
        return self._loaded(one), self._loaded(other)

    def _asked(self, *asked: Read) -> list[PGresult]:
        """One result each. What only reads, outside a transaction, is asked again where it was OUTDATED."""
        commands = [(statement, _on_the_wire(values), None) for statement, values in asked]
        try:
            results = self._run(*commands)
        except OUTDATED:
            if self._is_begun or not all(statement.is_read for statement, _ in asked):
                raise
            results = self._run(*commands)
        return results[-len(asked) :]

    def _loaded(self, result: PGresult) -> list[tuple[Any, ...]]:
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)

    def commit(self) -> None:
        """Ends the transaction, if one was begun; what is queued is sent in the same message."""
        waiting = self._waiting
        if self._is_deferred:
            self._is_deferred = False
        elif len(waiting) == 2 and waiting[0] is _BEGIN:  # one statement is a transaction of its own
            self._waiting = waiting[1:]
            self._is_begun = False
            self._run()
        else:
            self._run(_COMMIT)
            self._is_begun = False

    def rollback(self) -> None:
        """Undoes the transaction, if one was begun. Raises: psycopg.Error, where the connection may not be used again,
        though nothing was begun on it."""
        self._is_deferred = False
        if not self._is_clean:
            raise psycopg.OperationalError("the last exchange on this connection did not end")
        if self._waiting and self._waiting[0] is _BEGIN:
            self._is_begun = False
        self._waiting.clear()
        if self._is_begun:
            self._run(_ROLLBACK)
            self._is_begun = False

    def _begin(self) -> None:
        if self._is_deferred:
            self._is_deferred = False
            self._is_begun = True
            self._waiting.append(_BEGIN)

    def _run(self, *last: _Command) -> list[PGresult]:
        """Sends what is queued and the last ones, waits for all of it, and returns a result for each.

        Raises: psycopg.Error, the first that the server or the connection reports.
        """
        if not self._is_clean:
            raise psycopg.OperationalError("an earlier exchange on this connection did not end")
        commands, self._waiting = [*self._waiting, *last], []
        pg = self._pg
        self._is_clean = False
        pg.enter_pipeline_mode()
        made: list[tuple[Prepared | bytes, bytes] | None] = []
        told: list[Told | None] = []
        for statement, (values, formats), teller in commands:
            name = self._names.get(statement)
            if name is None:
                name = b"c%d" % next(self._numbers)
                pg.send_prepare(name, statement if isinstance(statement, bytes) else statement.sql.encode())
                made.append((statement, name))
                told.append(teller)
            pg.send_query_prepared(name, values, formats, _BINARY)
            made.append(None)
            told.append(teller)
        pg.pipeline_sync()
        results = self._results()
        pg.exit_pipeline_mode()
        self._is_clean = True
        answers: list[PGresult] = []
        for result, new, teller in zip(results, made, told, strict=False):
            if result.status not in _ANSWERS:
                error = psycopg.errors.error_from_result(result)
                if isinstance(error, OUTDATED):
                    self._names.clear()
                if teller is None:
                    raise error
                raise teller(error) from error
            if new is None:
                answers.append(result)
            else:
                self._names[new[0]] = new[1]
        return answers

    def _results(self) -> list[PGresult]:
        """What the server answers, up to the end of the message."""
        pg = self._pg
        while pg.flush():
            self._poll.modify(pg.socket, _READ | _WRITE)
            self._poll.poll()
            pg.consume_input()
            self._poll.modify(pg.socket, _READ)
        results: list[PGresult] = []
        while True:
            while pg.is_busy():
                self._poll.poll()
                pg.consume_input()
            result = pg.get_result()
            if result is not None:
                if result.status == ExecStatus.PIPELINE_SYNC:
                    return results
                results.append(result)
            elif pg.status != ConnStatus.OK:
                raise psycopg.OperationalError("the connection is lost")


_NOTHING: _Values = ([], [])
_BEGIN: _Command = (b"BEGIN", _NOTHING, None)
_COMMIT: _Command = (b"COMMIT", _NOTHING, None)
_ROLLBACK: _Command = (b"ROLLBACK", _NOTHING, None)


def _on_the_wire(values: Sequence[Any]) -> _Values:
    """Parameters as libpq takes them: octets as they are, all else as text whose type the statement says."""
    octets: list[bytes | None] = []
    formats: list[int] = []
    for value in values:
        if isinstance(value, bytes):
            octets.append(value)
            formats.append(_BINARY)
            continue
        formats.append(0)
        if value is None:
            octets.append(None)
        elif isinstance(value, str):
            if "\x00" in value:  # libpq would end the text there
                raise psycopg.DataError("PostgreSQL text cannot contain NUL")
            octets.append(value.encode())
        elif isinstance(value, int):
            octets.append(b"%d" % value)
        else:
            raise TypeError(f"no such type of parameter: {type(value).__name__}")
    return octets, formats
