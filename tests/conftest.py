"""Fixtures that every test may ask for. What they need and cannot find makes the test fail; nothing is skipped."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ca_core.kernel.database import Database, sqlite_url
from support import processes, softhsm
from support.fakes import FakeClock, SeededRng
from support.postgresql import PostgresqlServer, postgresql_server
from support.second_place import Guarded
from support.tables import create_tables, empty_tables


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture
def rng() -> SeededRng:
    """The same unpredictable-looking octets in every run."""
    return SeededRng()


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that is free now."""
    return processes.free_port()


@pytest.fixture(scope="session", name="postgresql_server")
def fixture_postgresql_server() -> Iterator[PostgresqlServer]:
    """One PostgreSQL server for the run (one a worker, where tests run in parallel)."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_server: PostgresqlServer) -> str:
    """The URL of a database on that server with every table in it."""
    url = postgresql_server.create_database("citizenid")
    create_tables(url)
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table in it, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    create_tables(sqlite_url(path))
    return path


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite file of this test alone: every table, no row."""
    path = tmp_path / "database.db"
    shutil.copyfile(sqlite_template, path)
    return sqlite_url(path)


@pytest.fixture
def postgresql_database_url(postgresql_server: PostgresqlServer, postgresql_tables: str) -> str:
    """A PostgreSQL database: every table, no row."""
    with postgresql_server.connect("citizenid") as connection:
        empty_tables(connection)
    return postgresql_tables


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The same test on both databases: what `Database.open` takes, also in another process."""
    url: str = request.getfixturevalue(f"{request.param}_database_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same test on both databases, with every table and no row."""
    opened = Database.open(database_url, pool_size=16)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session", name="softhsm")
def fixture_softhsm(tmp_path_factory: pytest.TempPathFactory) -> softhsm.SoftHsm:
    """A SoftHSM2 token. Give each test's keys labels of their own: the token lives as long as the run."""
    return softhsm.initialise(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
def guarded(database: Database, database_url: str, tmp_path: Path, clock: FakeClock, rng: SeededRng) -> Guarded:
    made = Guarded(database_url, tmp_path, database, clock, rng)
    made.found()
    return made


@pytest.fixture
def target_url(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if database.is_embedded:
        return sqlite_url(tmp_path / "restored" / "database.db")
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.create_database("citizenid_restored")


@pytest.fixture
def restored(target_url: str) -> Iterator[Database]:
    opened = Database.open(target_url)
    yield opened
    opened.dispose()
