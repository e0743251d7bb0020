"""The provider that conformance tests drive, on SQLite: specifications do not depend on the database."""

from collections.abc import Iterator

import pytest

from ca_core.kernel.database import Database
from support.fakes import FakeClock, SeededRng
from support.openid_provider import ProviderHouse


@pytest.fixture
def house(sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[ProviderHouse]:
    database = Database.open(sqlite_database_url)
    yield ProviderHouse(database, clock, rng)
    database.dispose()
