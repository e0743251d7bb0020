"""A small country on SQLite, for each test of issuance."""

from collections.abc import Iterator

import pytest

from ca_core.kernel.database import Database
from support.fakes import FakeClock, SeededRng
from support.pki import World, make_world


@pytest.fixture
def database(sqlite_database_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return make_world(database, clock, rng, issuing=("citizen-g1", "citizen-g2"))
