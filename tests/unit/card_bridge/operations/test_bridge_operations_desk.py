"""One at a time, not too often, and found only by whoever began it."""

import threading
from collections.abc import Callable

import pytest

from card_bridge.operations.errors import OperationNotFound, OperationPending, TooSoon
from card_bridge.operations.model import End, Policy
from card_bridge.operations.operation import Operation
from card_bridge.operations.service import OperationDesk
from support.bridge_fakes import FakeMonotonic, StatementKey, authentication_request


def make_desk(monotonic: FakeMonotonic, work: Callable[[Operation], None] = lambda _: None) -> OperationDesk:
    count = iter(range(1, 1000))
    return OperationDesk(
        work,
        policy=Policy(minimum_interval_s=2.0),
        monotonic=monotonic,
        rng=lambda size: next(count).to_bytes(size, "big"),
        spawn=lambda call: call(),
    )


def test_a_second_operation_waits_for_the_first(statement_key: StatementKey) -> None:
    desk, request = make_desk(FakeMonotonic()), authentication_request(statement_key)
    first = desk.begin(request)
    assert desk.pending
    with pytest.raises(OperationPending):
        desk.begin(request)
    with pytest.raises(OperationPending):
        desk.check_free()
    first.cancel()
    assert not desk.pending


def test_the_minimum_interval(statement_key: StatementKey) -> None:
    monotonic = FakeMonotonic()
    desk, request = make_desk(monotonic), authentication_request(statement_key)
    desk.begin(request).cancel()
    monotonic.now += 1.9
    with pytest.raises(TooSoon):
        desk.begin(request)
    with pytest.raises(TooSoon):
        desk.check_free()
    monotonic.now += 0.2
    desk.check_free()
    assert not desk.begin(request).has_ended()


def test_an_operation_whose_time_is_over_does_not_block(statement_key: StatementKey) -> None:
    monotonic = FakeMonotonic()
    desk, request = make_desk(monotonic), authentication_request(statement_key, lifetime_s=60)
    first = desk.begin(request)
    monotonic.now += 61
    with pytest.raises(TooSoon):
        desk.begin(request)
    assert first.take_outcome() is not None
    monotonic.now += 3
    desk.begin(request)


def test_found_by_its_own_origin_and_identifiers_alone(statement_key: StatementKey) -> None:
    desk = make_desk(FakeMonotonic())
    operation = desk.begin(authentication_request(statement_key))
    origin = operation.request.origin
    assert desk.find(operation.operation_id, origin) is operation
    assert desk.find_by_consent(operation.consent_id) is operation
    for identifier, other in (
        (operation.consent_id, origin),
        (operation.operation_id, "https://other.example.tw"),
        ("", origin),
        ("é", origin),
    ):
        with pytest.raises(OperationNotFound):
            desk.find(identifier, other)
    for identifier in (operation.operation_id, "", "\udcff"):
        with pytest.raises(OperationNotFound):
            desk.find_by_consent(identifier)


def test_nothing_is_found_before_the_first() -> None:
    desk = make_desk(FakeMonotonic())
    with pytest.raises(OperationNotFound):
        desk.find("x", "https://id.example.tw")
    assert not desk.pending


def test_eight_pages_at_once_get_one_operation(statement_key: StatementKey) -> None:
    desk, request = make_desk(FakeMonotonic()), authentication_request(statement_key)
    barrier = threading.Barrier(8)
    begun: list[Operation] = []
    refused: list[OperationPending] = []

    def begin() -> None:
        barrier.wait()
        try:
            begun.append(desk.begin(request))
        except OperationPending as error:
            refused.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), len(refused)) == (1, 7)


def test_eight_listeners_at_once_get_one_outcome(statement_key: StatementKey) -> None:
    desk = make_desk(FakeMonotonic())
    operation = desk.begin(authentication_request(statement_key))
    operation.cancel()
    barrier = threading.Barrier(8)
    taken: list[object] = []

    def take() -> None:
        barrier.wait()
        taken.append(operation.take_outcome())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome is not None for outcome in taken) == 1


def test_the_work_begins_with_the_operation(statement_key: StatementKey) -> None:
    worked: list[Operation] = []
    desk = make_desk(FakeMonotonic(), worked.append)
    operation = desk.begin(authentication_request(statement_key))
    assert worked == [operation]
    assert operation.snapshot().outcome_code == ""
    operation.cancel()
    assert operation.snapshot().outcome_code == End.USER_CANCELLED
