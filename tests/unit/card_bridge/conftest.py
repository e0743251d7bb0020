"""Fixtures over the fakes in bridge_fakes.py."""

from collections.abc import Callable, Iterator

import pytest

from support.bridge_fakes import Bridge, FakeReaders, StatementKey


@pytest.fixture
def make_bridge() -> Iterator[Callable[..., Bridge]]:
    """Makes bridges, and lets their cards' threads end."""
    made: list[Bridge] = []

    def make(readers: FakeReaders | None = None, *, minimum_interval_s: float = 0.0) -> Bridge:
        made.append(Bridge(readers, minimum_interval_s=minimum_interval_s))
        return made[-1]

    yield make
    for each in made:
        each.monotonic.now += 10_000


@pytest.fixture
def bridge(make_bridge: Callable[..., Bridge]) -> Bridge:
    return make_bridge()


@pytest.fixture
def statement_key() -> StatementKey:
    return StatementKey()
