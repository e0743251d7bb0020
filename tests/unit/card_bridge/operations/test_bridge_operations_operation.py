"""One operation: what the page may learn and when, who may end it, and that it ends once."""

import pytest

from card_bridge.operations.errors import CardNotChosen, LastTryUnconfirmed, NotWaitingForPin, PinEmpty
from card_bridge.operations.model import End, Outcome, PageState, SeenCard, Sighting, State
from card_bridge.operations.operation import Operation
from support.bridge_fakes import FakeMonotonic, StatementKey, authentication_request


def seen(tries_left: int | None = 3, reader: str = "Reader 0") -> SeenCard:
    return SeenCard(reader=reader, card_number="1" * 16, certificate=reader.encode(), tries_left=tries_left)


@pytest.fixture
def monotonic() -> FakeMonotonic:
    return FakeMonotonic()


@pytest.fixture
def operation(statement_key: StatementKey, monotonic: FakeMonotonic) -> Operation:
    return Operation(
        authentication_request(statement_key), operation_id="o" * 43, consent_id="c" * 43, monotonic=monotonic
    )


NEUTRAL = PageState(state=State.WAITING_FOR_PIN)
TROUBLES = [End.NO_READER, End.NO_CARD, End.CARD_NOT_PERSONALISED, End.PIN_BLOCKED, End.CARD_ERROR]


@pytest.mark.parametrize("sighting", [Sighting(trouble=trouble) for trouble in TROUBLES] + [Sighting(cards=(seen(),))])
def test_before_consent_the_page_hears_the_same_whatever_is_in_the_reader(
    sighting: Sighting, operation: Operation
) -> None:
    assert operation.page_state() == NEUTRAL
    operation.show(sighting)
    assert operation.page_state() == NEUTRAL


@pytest.mark.parametrize("trouble", TROUBLES)
def test_time_that_runs_out_before_consent_tells_nothing(
    trouble: End, operation: Operation, monotonic: FakeMonotonic
) -> None:
    operation.show(Sighting(trouble=trouble))
    monotonic.now += 60
    operation.expire_if_due()
    assert operation.take_outcome() == Outcome(code=End.TIMED_OUT)


def test_a_card_removed_before_consent_is_waited_for(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(1),)))
    operation.show(Sighting(trouble=End.NO_CARD))
    snapshot = operation.snapshot()
    assert (snapshot.state, snapshot.trouble) == (State.WAITING_FOR_CARD, End.CARD_REMOVED)
    assert operation.page_state() == NEUTRAL
    operation.show(Sighting(cards=(seen(),)))
    assert operation.snapshot().state is State.WAITING_FOR_PIN


def test_a_pin_for_a_card_that_is_gone_ends_it_as_removed(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(),)))
    operation.show(Sighting(trouble=End.NO_CARD))
    pin = bytearray(b"123456")
    with pytest.raises(NotWaitingForPin):
        operation.submit(pin, card_index=None, knows_last_try=False)
    assert pin == bytes(6)
    outcome = operation.take_outcome()
    assert outcome is not None
    assert outcome.code == End.CARD_REMOVED


@pytest.mark.parametrize("trouble", [End.NO_CARD, End.NO_READER])
def test_a_card_removed_after_consent_ends_it(trouble: End, operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(),)))
    with pytest.raises(PinEmpty):
        operation.submit(bytearray(), card_index=None, knows_last_try=False)
    operation.show(Sighting(trouble=trouble))
    outcome = operation.take_outcome()
    assert outcome is not None
    assert outcome.code == End.CARD_REMOVED


def test_reporting_tells_the_page_what_is_missing(operation: Operation) -> None:
    operation.show(Sighting(trouble=End.NO_READER))
    operation.report()
    assert operation.take_outcome() == Outcome(code=End.NO_READER)


def test_cancelling_tells_the_page_nothing_more(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(2),)))
    operation.cancel()
    assert operation.take_outcome() == Outcome(code=End.USER_CANCELLED)


def test_an_entry_is_taken_once_and_the_window_shows_signing(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(),)))
    operation.submit(bytearray(b"123456"), card_index=None, knows_last_try=False)
    assert operation.page_state() == PageState(state=State.SIGNING)
    entry = operation.await_entry(0)
    assert entry is not None
    assert bytes(entry.pin) == b"123456"
    assert operation.await_entry(0) is None
    second = bytearray(b"222222")
    with pytest.raises(NotWaitingForPin):
        operation.submit(second, card_index=None, knows_last_try=False)
    assert second == bytes(6)


def test_cancelling_wipes_a_pin_that_nobody_took(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(),)))
    pin = bytearray(b"123456")
    operation.submit(pin, card_index=None, knows_last_try=False)
    operation.cancel()
    assert pin == bytes(6)
    assert operation.await_entry(0) is None


def test_the_last_try_must_be_known(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(1),)))
    pin = bytearray(b"123456")
    with pytest.raises(LastTryUnconfirmed):
        operation.submit(pin, card_index=None, knows_last_try=False)
    assert pin == bytes(6)
    assert operation.await_entry(0) is None
    operation.submit(bytearray(b"123456"), card_index=None, knows_last_try=True)
    assert operation.await_entry(0) is not None


@pytest.mark.parametrize("index", [None, -1, 2, 10**9])
def test_of_two_cards_one_must_be_named(index: int | None, operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(), seen(reader="Reader 1"))))
    with pytest.raises(CardNotChosen):
        operation.submit(bytearray(b"123456"), card_index=index, knows_last_try=False)
    operation.submit(bytearray(b"123456"), card_index=1, knows_last_try=False)
    entry = operation.await_entry(0)
    assert entry is not None
    assert entry.card.reader == "Reader 1"


def test_the_outcome_is_handed_out_once_and_the_first_end_counts(operation: Operation) -> None:
    assert operation.take_outcome() is None
    operation.finish(Outcome(code=End.DONE, auth_token={"signature": "x"}))
    operation.cancel()
    operation.finish(Outcome(code=End.CARD_ERROR))
    first = operation.take_outcome()
    assert first is not None
    assert first.code == End.DONE
    assert operation.take_outcome() is None


def test_after_a_wrong_pin_the_page_hears_the_tries(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(),)))
    operation.submit(bytearray(b"000000"), card_index=None, knows_last_try=False)
    assert operation.await_entry(0) is not None
    operation.ask_again(Sighting(cards=(seen(2),)), notice=End.PIN_INCORRECT, tries_left=2)
    assert operation.page_state() == PageState(state=State.WAITING_FOR_PIN, code="pin_incorrect", tries_left=2)
    operation.cancel()
    assert operation.take_outcome() == Outcome(code=End.USER_CANCELLED, tries_left=2)


def test_a_card_that_hangs_while_signing_gets_some_seconds_more(operation: Operation, monotonic: FakeMonotonic) -> None:
    operation.show(Sighting(cards=(seen(),)))
    operation.submit(bytearray(b"123456"), card_index=None, knows_last_try=False)
    monotonic.now += 65
    operation.expire_if_due()
    assert not operation.has_ended()
    monotonic.now += 6
    operation.expire_if_due()
    assert operation.take_outcome() == Outcome(code=End.CARD_ERROR)


def test_listeners_hear_every_change(operation: Operation) -> None:
    heard: list[int] = []

    def listener() -> None:
        heard.append(1)

    operation.subscribe(listener)
    operation.show(Sighting(cards=(seen(),)))
    operation.show(Sighting(cards=(seen(),)))
    operation.cancel()
    operation.unsubscribe(listener)
    assert len(heard) == 2


def test_no_pin_and_no_token_in_what_logs_print(operation: Operation) -> None:
    operation.show(Sighting(cards=(seen(),)))
    operation.submit(bytearray(b"135790"), card_index=None, knows_last_try=False)
    entry = operation.await_entry(0)
    assert "135790" not in repr(entry)
    assert "secret" not in repr(Outcome(code=End.DONE, auth_token={"signature": "secret"}))
