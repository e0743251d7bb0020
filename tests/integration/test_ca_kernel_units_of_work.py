"""Units of work on both databases: what is undone, what stays, and which connections are used again."""

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from threading import Barrier, Thread
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, delete, func, insert, literal, select

from ca_core.kernel.connections import Connections
from ca_core.kernel.database import Database, Statement, sqlite_url
from ca_core.kernel.errors import Conflict, DatabaseRefused, Unavailable
from ca_core.kernel.web.hop import Hop

THINGS = Table("thing", MetaData(), Column("name", String(20), primary_key=True), Column("size", Integer))
ADD = Statement(insert(THINGS).values(name=bindparam("name"), size=bindparam("size")))
NAMES = Statement(select(THINGS.c.name).order_by(THINGS.c.name))
LENGTH = Statement(select(func.length(bindparam("text", type_=String))))
DELETE = Statement(delete(THINGS).where(THINGS.c.name == bindparam("name")))
ONE = Statement(select(literal(1)))
BROKEN = Statement(select(Column("no_such_column")).select_from(THINGS))


@pytest.fixture
def things(database: Database) -> Iterator[Database]:
    THINGS.create(database.engine)
    yield database
    database.connections.close()
    THINGS.drop(database.engine)


@pytest.fixture
def postgresql_things(postgresql_database_url: str) -> Iterator[Database]:
    opened = Database.open(postgresql_database_url)
    THINGS.create(opened.engine)
    yield opened
    opened.connections.close()
    THINGS.drop(opened.engine)
    opened.dispose()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(sqlite_url(tmp_path / "things.db"))
    THINGS.create(opened.engine)
    yield opened
    opened.dispose()


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return [row[0] for row in tx.all(NAMES)]


def add(database: Database, name: str) -> None:
    with database.write() as tx:
        tx.execute(ADD, name=name, size=1)


def test_an_exception_undoes_the_unit_and_leaves_the_connection_usable(things: Database) -> None:
    with pytest.raises(LookupError), things.write() as tx:
        tx.execute(ADD, name="a", size=1)
        raise LookupError
    add(things, "b")
    assert names(things) == ["b"]


def test_a_unique_violation_is_a_conflict_and_undoes_the_unit(things: Database) -> None:
    add(things, "a")
    with pytest.raises(Conflict), things.write() as tx:
        tx.execute(ADD, name="b", size=1)
        tx.execute(ADD, name="a", size=1)
    assert names(things) == ["a"]


def test_unknown_and_missing_parameters_are_told(things: Database) -> None:
    with pytest.raises(KeyError), things.write() as tx:
        tx.execute(ADD, name="a")
    with pytest.raises(TypeError, match="colour"), things.write() as tx:
        tx.execute(ADD, name="a", size=1, colour="red")
    assert names(things) == []


def test_a_dead_connection_costs_one_refusal_and_no_more(postgresql_database_url: str) -> None:
    opened = Database.open(postgresql_database_url)
    dead, idle = opened.connections.take(), opened.connections.take()
    opened.connections.give_back(idle)
    dead.close()
    opened.connections.give_back(dead)
    with pytest.raises(Unavailable), opened.write() as tx:
        tx.one_or_none(ONE)
    assert idle.closed  # what was idle beside it is as suspect
    with opened.write() as tx:
        assert tx.one_or_none(ONE) == (1,)
    opened.dispose()


def test_dispose_closes_what_is_idle_and_the_database_opens_again(things: Database) -> None:
    add(things, "a")
    things.dispose()
    assert names(things) == ["a"]


def test_no_more_connections_than_the_limit(things: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca_core.kernel.connections.WAIT_S", 0.05)
    few = Connections(things.engine, keep=1, limit=2)
    first, second = few.take(), few.take()
    with pytest.raises(Unavailable):
        few.take()
    few.give_back(first)
    assert few.take() is first
    few.discard(first)
    few.give_back(few.take())
    few.give_back(second)
    few.close()


def test_a_waiting_thread_gets_the_connection_that_comes_back(things: Database) -> None:
    one = Connections(things.engine, keep=1, limit=1)
    barrier, taken = Barrier(8), list[object]()

    def use() -> None:
        barrier.wait()
        for _ in range(50):
            connection = one.take()
            taken.append(connection)
            one.give_back(connection)

    threads = [Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == 400
    assert len({id(connection) for connection in taken}) == 1
    one.close()


def test_together_units_are_undone_alone_and_see_each_other(embedded: Database) -> None:
    with embedded.together():
        add(embedded, "a")
        with pytest.raises(LookupError), embedded.write() as tx:
            tx.execute(ADD, name="b", size=1)
            raise LookupError
        with pytest.raises(Conflict):
            add(embedded, "a")
        assert names(embedded) == ["a"]
        add(embedded, "c")
    assert names(embedded) == ["a", "c"]


def test_together_nothing_is_seen_elsewhere_before_the_end(embedded: Database) -> None:
    seen: list[list[str]] = []
    with embedded.together():
        add(embedded, "a")
        other = Thread(target=lambda: seen.append(names(embedded)))
        other.start()
        other.join(30)
    assert seen == [[]]
    assert names(embedded) == ["a"]


def test_together_an_exception_past_the_units_undoes_them_all(embedded: Database) -> None:
    with pytest.raises(LookupError), embedded.together():
        add(embedded, "a")
        raise LookupError
    assert names(embedded) == []


def test_together_a_lost_transaction_is_lost_for_all(embedded: Database) -> None:
    """As SQLite does where the disk is full: the whole transaction is gone under a unit's hands."""
    with pytest.raises(Unavailable), embedded.together():
        add(embedded, "a")
        with pytest.raises(Unavailable), embedded.write() as tx:
            tx.execute(ADD, name="b", size=1)
            tx._connection.execute("ROLLBACK")
        with pytest.raises(Unavailable):
            add(embedded, "c")
    assert names(embedded) == []


def test_together_is_refused_where_the_database_does_it_itself(database: Database) -> None:
    if database.is_embedded:
        with database.together():
            pass
    else:
        with pytest.raises(TypeError):
            database.together()


def test_a_queued_write_is_undone_with_its_unit(things: Database) -> None:
    with pytest.raises(LookupError), things.write() as tx:
        tx.add(ADD, name="a", size=1)
        raise LookupError
    with pytest.raises(LookupError), things.write() as tx:
        tx.execute(ADD, name="b", size=1)
        tx.add(ADD, name="c", size=1)
        raise LookupError
    assert names(things) == []


def test_a_queued_write_is_seen_by_the_next_statement_and_committed(things: Database) -> None:
    with things.write() as tx:
        tx.add(ADD, name="a", size=1)
        assert tx.all(NAMES) == [("a",)]
        tx.add(ADD, name="b", size=1)
        tx.add(ADD, name="c", size=1)
    assert names(things) == ["a", "b", "c"]


@pytest.mark.parametrize("before", [(), ("b",), ("b", "c")])
def test_a_queued_write_that_fails_undoes_the_unit(things: Database, before: tuple[str, ...]) -> None:
    """Alone, where PostgreSQL runs it without BEGIN, or after others of its transaction."""
    add(things, "a")
    with pytest.raises(Conflict), things.write() as tx:
        for name in before:
            tx.add(ADD, name=name, size=1)
        tx.add(ADD, name="a", size=1)
    assert names(things) == ["a"]
    add(things, "d")
    assert names(things) == ["a", "d"]


def test_a_queued_write_outside_a_transaction_is_done_at_once(things: Database) -> None:
    with things.read() as tx:
        tx.add(ADD, name="a", size=1)
    assert names(things) == ["a"]


def test_a_unit_on_postgresql_holds_its_locks_from_its_first_write_on(postgresql_things: Database) -> None:
    """What it read before its first write it read as it stood; what it wrote nobody else sees or writes meanwhile."""
    with postgresql_things.write() as tx:
        assert tx.all(NAMES) == []
        other = Thread(target=add, args=(postgresql_things, "a"))
        other.start()
        other.join(30)
        assert tx.all(NAMES) == [("a",)]
        tx.execute(ADD, name="b", size=1)
        assert names(postgresql_things) == ["a"]
    assert names(postgresql_things) == ["a", "b"]


def test_a_nul_is_refused_and_not_cut_off(postgresql_things: Database) -> None:
    with pytest.raises(DatabaseRefused), postgresql_things.write() as tx:
        tx.execute(ADD, name="a\x00b", size=1)
    assert names(postgresql_things) == []


def test_a_large_value_goes_out_in_pieces(postgresql_things: Database) -> None:
    """More than the socket takes at once, while the server answers what came before it."""
    large = "x" * 8_000_000
    with postgresql_things.write() as tx:
        tx.add(ADD, name="a", size=1)
        assert tx.one_or_none(LENGTH, text=large) == (len(large),)
    assert names(postgresql_things) == ["a"]


def test_a_lost_connection_costs_one_refusal_also_where_one_queued_write_is_all(postgresql_things: Database) -> None:
    add(postgresql_things, "a")
    (lost,) = postgresql_things.connections._idle
    with psycopg.connect(lost.driver.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [lost.driver.info.backend_pid])
    with pytest.raises(Unavailable), postgresql_things.write() as tx:
        tx.add(ADD, name="b", size=1)
    with postgresql_things.write() as tx:
        tx.add(ADD, name="c", size=1)
    assert names(postgresql_things) == ["a", "c"]


def test_a_connection_left_in_the_middle_of_an_exchange_is_not_used_again(postgresql_things: Database) -> None:
    connection = postgresql_things.connections.take()
    poll = Mock()
    poll.poll.side_effect = KeyboardInterrupt
    connection._poll, kept = poll, connection._poll
    with pytest.raises(KeyboardInterrupt):
        connection.execute("SELECT 1")
    connection._poll = kept
    postgresql_things.connections.give_back(connection)
    with pytest.raises(Unavailable), postgresql_things.read() as tx:
        tx.all(NAMES)
    assert connection.closed
    assert names(postgresql_things) == []


def test_a_statement_that_the_server_refuses_leaves_the_connection_usable(things: Database) -> None:
    with pytest.raises(DatabaseRefused, match="no_such_column"), things.write() as tx:
        tx.execute(ADD, name="a", size=1)
        tx.all(BROKEN)
    add(things, "b")
    assert names(things) == ["b"]


def test_a_hop_to_threads_gives_each_call_its_own_outcome(postgresql_things: Database) -> None:
    """More calls than threads, one of them refused, one abandoned by its caller; none is lost."""
    hop = Hop(postgresql_things)
    wanted = [f"{number:03}" for number in range(100)]

    async def run() -> list[object]:
        abandoned = asyncio.ensure_future(hop(add, postgresql_things, "abandoned"))
        await asyncio.sleep(0)
        abandoned.cancel()
        calls = (hop(add, postgresql_things, name) for name in [*wanted, wanted[0]])
        return list(await asyncio.gather(*calls, return_exceptions=True))

    outcomes = asyncio.run(run())
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict]
    assert names(postgresql_things) == [*wanted, "abandoned"]


def test_a_hop_carries_the_callers_context(postgresql_things: Database) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")

    async def run() -> str:
        variable.set("the caller's")
        return await Hop(postgresql_things)(variable.get)

    assert asyncio.run(run()) == "the caller's"


def test_a_read_that_travels_with_the_next_one(things: Database) -> None:
    add(things, "a")
    with things.read() as tx:
        names_, nothing = tx.ask(NAMES), tx.one_or_none(LENGTH, text="four")
        assert (names_(), nothing) == (("a",), (4,))
        assert tx.ask(LENGTH, text="alone")() == (5,)
        kept, other = tx.ask(LENGTH, text="ab"), tx.ask(LENGTH, text="abc")
        assert (tx.one_or_none(ONE), other(), kept()) == ((1,), (3,), (2,))
    with things.write() as tx:
        before = tx.ask(NAMES)
        tx.execute(ADD, name="0", size=1)
        assert tx.one_or_none(ONE) == (1,)
        assert before() in (("0",), ("a",))
    with things.read() as tx:
        tx.ask(NAMES)
    assert names(things) == ["0", "a"]


def test_prepared_statements_that_are_outdated(postgresql_things: Database) -> None:
    """The result's type changed, or the server forgot them: asked again, in a transaction Unavailable once."""
    things = postgresql_things
    add(things, "a")
    assert names(things) == ["a"]
    with things.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE thing ALTER COLUMN name TYPE text")
    assert names(things) == ["a"]
    with things.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE thing ALTER COLUMN name TYPE varchar(20)")
    with pytest.raises(Unavailable), things.write() as tx:
        tx.execute(ADD, name="b", size=1)
        tx.all(NAMES)
    assert names(things) == ["a"]
    for name in ("b", "c"):
        add_queued(things, name)
        for idle in things.connections._idle:
            idle.driver.execute("DEALLOCATE ALL")
        with pytest.raises(Unavailable):
            add_queued(things, "d")
        add_queued(things, "e")
        with things.write() as tx:
            tx.execute(DELETE, name="e")
    with things.read() as tx:
        asked = tx.ask(NAMES)
        tx._connection.driver.execute("DEALLOCATE ALL")
        assert (tx.one_or_none(ONE), asked()) == ((1,), ("a",))
    assert names(things) == ["a", "b", "c"]


def add_queued(database: Database, name: str) -> None:
    with database.write() as tx:
        tx.add(ADD, name=name, size=1)
