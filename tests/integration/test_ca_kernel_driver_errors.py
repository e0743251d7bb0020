"""Whatever a driver raises leaves the kernel in the project's own terms, on both databases."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import BigInteger, Column, MetaData, String, Table, bindparam, insert, make_url, select

from ca_core.kernel.connections import raise_translated
from ca_core.kernel.database import Database, Statement, Transaction, sqlite_url
from ca_core.kernel.errors import Conflict, DatabaseRefused, DomainError, Unavailable
from idp.main.histories import upgrade_all, verify_current
from support.postgresql import PostgresqlServer

THINGS = Table(
    "thing",
    MetaData(),
    Column("name", String(20), primary_key=True),
    Column("size", BigInteger, nullable=False),
)
ADD = Statement(insert(THINGS).values(name=bindparam("name"), size=bindparam("size")))
NAMES = Statement(select(THINGS.c.name).order_by(THINGS.c.name))
NO_TABLE = Statement(select(Column("name")).select_from(Table("no_such_table", MetaData())))


def add_and_read(tx: Transaction) -> None:
    tx.add(ADD, name="a", size=1)
    tx.all(NAMES)


REFUSING = {
    "sqlite": ("CREATE TRIGGER refuses BEFORE INSERT ON thing BEGIN SELECT RAISE(ABORT, 'not today'); END",),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not today'; END $$",
        "CREATE TRIGGER refuses BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION refuses()",
    ),
}
WRITES: dict[str, Callable[[Transaction], object]] = {
    "execute": lambda tx: tx.execute(ADD, name="a", size=1),
    "add": lambda tx: tx.add(ADD, name="a", size=1),
    "add-and-more": lambda tx: add_and_read(tx),
    "execute-many": lambda tx: tx.execute_many(ADD, [{"name": "a", "size": 1}]),
}
READS: dict[str, Callable[[Transaction], object]] = {
    "one": lambda tx: tx.one_or_none(NO_TABLE),
    "all": lambda tx: tx.all(NO_TABLE),
    "execute": lambda tx: tx.execute(NO_TABLE),
    "stream": lambda tx: list(tx.stream(NO_TABLE)),
}


@pytest.fixture
def things(database: Database) -> Iterator[Database]:
    THINGS.create(database.engine)
    yield database
    database.connections.close()
    THINGS.drop(database.engine)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite file with some pages, at rest: no log beside it."""
    path = tmp_path / "things.db"
    opened = Database.open(sqlite_url(path))
    THINGS.create(opened.engine)
    with opened.write() as tx:
        tx.execute_many(ADD, [{"name": f"{number:020}", "size": number} for number in range(2_000)])
    opened.dispose()
    return path


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return [row[0] for row in tx.all(NAMES)]


def run(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("way", WRITES)
def test_a_trigger_that_refuses(things: Database, way: str) -> None:
    run(things, *REFUSING[things.engine.dialect.name])
    with pytest.raises(DatabaseRefused, match="not today"), things.write() as tx:
        WRITES[way](tx)
    run(things, "DROP TRIGGER refuses" + ("" if things.is_embedded else " ON thing"))
    with things.write() as tx:
        WRITES[way](tx)
    assert names(things) == ["a"]


@pytest.mark.parametrize("way", READS)
def test_a_schema_that_is_not_this_codes(things: Database, way: str) -> None:
    with pytest.raises(DatabaseRefused, match="no_such_table"), things.snapshot() as tx:
        READS[way](tx)
    assert names(things) == []


@pytest.mark.parametrize("name", ["\ud800", "a" * 21, None])
@pytest.mark.parametrize("way", ["execute", "add", "execute-many"])
def test_a_value_that_a_column_cannot_hold(things: Database, way: str, name: str | None) -> None:
    if things.is_embedded and name == "a" * 21:
        name = None  # SQLite has no lengths
    with pytest.raises(DatabaseRefused) as refused, things.write() as tx:
        if way == "execute-many":
            tx.execute_many(ADD, [{"name": "b", "size": 1}, {"name": name, "size": 1 if name else None}])
        else:
            getattr(tx, way)(ADD, name=name, size=1 if name else None)
    assert "aaa" not in refused.value.detail
    assert names(things) == []


def test_a_number_that_no_column_can_hold(things: Database) -> None:
    for unit in (things.write, things.read):
        with pytest.raises(DatabaseRefused), unit() as tx:
            tx.execute(ADD, name="a", size=2**70)
    assert names(things) == []


def test_together_one_unit_that_is_refused_leaves_the_others(file: Path) -> None:
    things = Database.open(sqlite_url(file))
    before = len(names(things))
    with things.together():
        with things.write() as tx:
            tx.execute(ADD, name="a", size=1)
        for size in (None, 2**70):
            with pytest.raises(DatabaseRefused), things.write() as tx:
                tx.execute(ADD, name="b", size=size)
    assert len(names(things)) == before + 1
    things.dispose()


def test_a_privilege_that_is_missing(postgresql_database_url: str, postgresql_server: PostgresqlServer) -> None:
    owner = Database.open(postgresql_database_url)
    THINGS.create(owner.engine)
    run(owner, "CREATE ROLE reader LOGIN", "GRANT SELECT ON thing TO reader")
    url = make_url(postgresql_database_url).set(username="reader").render_as_string(hide_password=False)
    reader = Database.open(url)
    try:
        for write in WRITES.values():
            with pytest.raises(DatabaseRefused, match="permission denied for table thing"), reader.write() as tx:
                write(tx)
        assert names(reader) == []
    finally:
        reader.dispose()
        run(owner, "DROP TABLE thing", "DROP ROLE reader")
        owner.dispose()


@pytest.mark.parametrize("way", WRITES)
def test_a_database_that_only_reads_is_away_and_its_connection_not_kept(things: Database, way: str) -> None:
    """A standby that was asked, or a volume that was mounted read-only after a fault."""
    connection = things.connections.take()
    pragma, option = "PRAGMA query_only = 1", "SET default_transaction_read_only = on"
    connection.execute(pragma if things.is_embedded else option)
    things.connections.give_back(connection)
    with pytest.raises(Unavailable), things.write() as tx:
        WRITES[way](tx)
    with things.write() as tx:
        WRITES[way](tx)
    assert names(things) == ["a"]


def test_a_full_disk_is_away(file: Path) -> None:
    things = Database.open(sqlite_url(file))
    connection = things.connections.take()
    connection.execute("PRAGMA max_page_count = 1").close()  # never less than there are
    things.connections.give_back(connection)
    with pytest.raises(Unavailable, match="full"), things.write() as tx:
        tx.execute_many(ADD, [{"name": f"more-{number:010}", "size": number} for number in range(2_000)])
    assert len(names(things)) == 2_000
    things.dispose()


def test_a_malformed_image_is_away_and_whole_again_when_it_is_put_back(file: Path) -> None:
    things, octets = Database.open(sqlite_url(file)), file.read_bytes()
    file.write_bytes(octets[:4096] + b"\x55" * (len(octets) - 4096))
    for unit in (things.read, things.snapshot, things.write):
        with pytest.raises(Unavailable, match="malformed"), unit() as tx:
            tx.all(NAMES)
    with pytest.raises(Unavailable, match="malformed"), things.snapshot() as tx:
        list(tx.stream(NAMES))
    file.write_bytes(octets)
    assert len(names(things)) == 2_000
    things.dispose()


@pytest.mark.parametrize("away", ["not-a-database", "no-folder", "a-folder"])
def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path, away: str) -> None:
    path = tmp_path / "database.db"
    if away == "not-a-database":
        path.write_bytes(b"something else entirely" * 400)
    elif away == "a-folder":
        path.mkdir()
    else:
        path = tmp_path / "none" / "database.db"
    gone = Database.open(sqlite_url(path))
    for act in (lambda: names(gone), lambda: verify_current(gone), lambda: upgrade_all(gone)):
        with pytest.raises(Unavailable):
            act()
    gone.dispose()


def test_a_server_that_is_gone_is_away_also_at_the_start(tmp_path: Path) -> None:
    gone = Database.open(f"postgresql+psycopg://postgres@/none?host={tmp_path}")
    for act in (lambda: names(gone), lambda: verify_current(gone), lambda: upgrade_all(gone)):
        with pytest.raises(Unavailable):
            act()
    gone.dispose()


def test_every_class_of_psycopgs_errors_has_a_place() -> None:
    for kind in _and_below(psycopg.Error):
        with pytest.raises(DomainError) as translated:
            raise_translated(kind("what the server said"))
        expected = Conflict if issubclass(kind, psycopg.errors.UniqueViolation) else (Unavailable, DatabaseRefused)
        assert isinstance(translated.value, expected), kind


def test_every_class_of_sqlites_errors_has_a_place() -> None:
    for kind in _and_below(sqlite3.Error):
        with pytest.raises((Unavailable, DatabaseRefused)):
            raise_translated(kind("what SQLite said"))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE thing (name TEXT PRIMARY KEY, size INTEGER UNIQUE CHECK (size > 0))")
        connection.execute("INSERT INTO thing VALUES ('a', 1)")
        for values, expected in (("'a', 2", Conflict), ("'b', 1", Conflict), ("'b', 0", DatabaseRefused)):
            with pytest.raises(expected):
                try:
                    connection.execute(f"INSERT INTO thing VALUES ({values})")  # noqa: S608 - values from this test
                except sqlite3.Error as error:
                    raise_translated(error)


def _and_below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _and_below(one)
