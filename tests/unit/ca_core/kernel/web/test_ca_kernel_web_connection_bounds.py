"""Which further connection may be open, and what is logged of those that may not."""

import resource

import pytest
from structlog.testing import capture_logs

from ca_core.kernel.web.connection_bounds import RESERVED_FILES, OpenConnections


def test_a_bound_over_all() -> None:
    connections = OpenConnections(2)
    assert [connections.open(address) for address in "abc"] == [True, True, False]
    connections.close("a")
    assert [connections.open(address) for address in "cd"] == [True, False]
    assert connections.count == 2


def test_a_bound_of_each_address() -> None:
    connections = OpenConnections(10, per_address=2)
    assert [connections.open(address) for address in "aaab"] == [True, True, False, True]
    connections.close("a")
    assert [connections.open(address) for address in "aabb"] == [True, False, True, False]
    for address in "aabb":
        connections.close(address)
    assert connections.count == 0
    assert not connections._by_address


def test_a_bound_set_later_counts_what_is_open_already() -> None:
    connections = OpenConnections(10)
    assert [connections.open("a") for _ in range(3)] == [True] * 3
    connections.bound(10, 3)
    assert not connections.open("a")
    connections.bound(2, None)
    assert not connections.open("b")


def test_never_more_than_there_may_be_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    assert OpenConnections(100_000).limit == 1_024 - RESERVED_FILES
    assert OpenConnections(500).limit == 500
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert OpenConnections(100_000).limit == 100_000


def test_of_many_ends_one_line_in_ten_seconds() -> None:
    connections = OpenConnections(1)
    with capture_logs() as lines:
        for moment in (0.0, 0.1, 5.0, 9.9, 10.0, 10.1, 31.0):
            connections.tell("too_many", moment)
    assert [line["ended"] for line in lines] == [1, 4, 2]
    assert {line["event"] for line in lines} == {"connections_ended"}
