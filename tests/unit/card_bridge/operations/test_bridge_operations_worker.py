"""The thread that works the card, run in the test's own thread with a person who acts when the window changes."""

from collections.abc import Callable

import pytest

from card_bridge.operations.errors import NotWaitingForPin
from card_bridge.operations.model import End, Outcome, Snapshot, State
from card_bridge.operations.operation import Operation
from card_bridge.operations.worker import CardWorker
from card_bridge.piv.errors import CardFault, CardRemoved, NoCard, PinMalformed, WrongCard
from support.bridge_fakes import FakeCard, FakeMonotonic, FakeReaders, StatementKey, authentication_request

Act = Callable[[Operation, Snapshot], None]


class Person(Operation):
    """An operation whose person looks each time the card's thread waits for the PIN."""

    def __init__(self, key: StatementKey, *acts: Act) -> None:
        self.clock = FakeMonotonic()
        super().__init__(authentication_request(key), operation_id="o" * 43, consent_id="c" * 43, monotonic=self.clock)
        self.acts = list(acts)
        self.shown: list[tuple[State, str, int | None]] = []

    def await_entry(self, timeout_s: float) -> object:  # type: ignore[override] # the same, after the person has acted
        snapshot = self.snapshot()
        self.shown.append((snapshot.state, snapshot.trouble or snapshot.notice, snapshot.tries_left))
        if self.acts:
            self.acts.pop(0)(self, snapshot)
        else:
            self.clock.now += 1000
        return super().await_entry(0)


def enter(pin: bytes, *, card: int | None = None, knows: bool = False) -> Act:
    def act(operation: Operation, _: Snapshot) -> None:
        operation.submit(bytearray(pin), card_index=card, knows_last_try=knows)

    return act


def do(call: Callable[[], object]) -> Act:
    def act(_: Operation, __: Snapshot) -> None:
        call()

    return act


def wait(_: Operation, __: Snapshot) -> None:
    """The person looks on."""


def run(readers: FakeReaders, person: Person, reader: str | None = None) -> Outcome:
    CardWorker(readers, reader=reader, poll_interval_s=0).run(person)
    outcome = person.take_outcome()
    assert outcome is not None
    return outcome


def test_the_right_pin_makes_a_token(statement_key: StatementKey) -> None:
    card = FakeCard()
    outcome = run(FakeReaders(R=card), Person(statement_key, enter(b"123456")))
    assert outcome.code == End.DONE
    assert outcome.auth_token is not None
    assert outcome.auth_token["format"] == "web-eid:1.0"
    assert all(pin == bytes(len(pin)) for pin in card.seen_pins)


def test_readers_and_cards_that_come_late_are_waited_for(statement_key: StatementKey) -> None:
    card = FakeCard()
    readers = FakeReaders()
    readers.service = False

    def plug_in() -> None:
        readers.service = True
        readers.cards = {"R": None}

    person = Person(statement_key, wait, do(plug_in), wait, do(lambda: readers.cards.update(R=card)), enter(b"123456"))
    assert run(readers, person).code == End.DONE
    assert [trouble for _, trouble, _ in person.shown] == ["no_reader", "no_reader", "no_card", "no_card", ""]


def test_a_wrong_pin_is_asked_again_with_what_is_left(statement_key: StatementKey) -> None:
    person = Person(statement_key, enter(b"000000"), enter(b"123456"))
    assert run(FakeReaders(R=FakeCard()), person).code == End.DONE
    assert person.shown == [(State.WAITING_FOR_PIN, "", 3), (State.WAITING_FOR_PIN, "pin_incorrect", 2)]


def test_the_last_wrong_pin_blocks_and_ends(statement_key: StatementKey) -> None:
    card = FakeCard(tries=2)
    outcome = run(FakeReaders(R=card), Person(statement_key, enter(b"000000"), enter(b"000000", knows=True)))
    assert outcome == Outcome(code=End.PIN_BLOCKED)
    assert "sign" not in card.steps


def test_tries_that_somebody_else_spent_meanwhile_are_asked_about(statement_key: StatementKey) -> None:
    card = FakeCard(tries=3)

    def enter_while_another_program_fails(operation: Operation, snapshot: Snapshot) -> None:
        card.tries = 1
        enter(b"123456")(operation, snapshot)

    person = Person(statement_key, enter_while_another_program_fails, enter(b"123456", knows=True))
    assert run(FakeReaders(R=card), person).code == End.DONE
    assert person.shown[1] == (State.WAITING_FOR_PIN, "last_try_unconfirmed", 1)
    assert len(card.seen_pins) == 1


def test_a_malformed_pin_spends_no_try(statement_key: StatementKey) -> None:
    card = FakeCard()
    card.faults["verify_pin"] = PinMalformed()
    person = Person(statement_key, enter(b"12"), do(card.faults.clear), enter(b"123456"))
    assert run(FakeReaders(R=card), person).code == End.DONE
    assert person.shown[1] == (State.WAITING_FOR_PIN, "pin_malformed", 3)


def test_a_locked_card_is_shown_and_reported_only_when_the_person_says_so(statement_key: StatementKey) -> None:
    person = Person(statement_key, wait, lambda operation, _: operation.report())
    assert run(FakeReaders(R=FakeCard(tries=0)), person).code == End.PIN_BLOCKED
    assert person.shown[0] == (State.WAITING_FOR_CARD, "pin_blocked", None)
    assert run(FakeReaders(R=FakeCard(tries=0)), Person(statement_key)).code == End.TIMED_OUT


@pytest.mark.parametrize("step", ["connect", "verify_pin", "sign"])
def test_a_card_removed_half_way(step: str, statement_key: StatementKey) -> None:
    card = FakeCard()

    def enter_and_pull(operation: Operation, snapshot: Snapshot) -> None:
        card.faults[step] = CardRemoved()
        enter(b"123456")(operation, snapshot)

    outcome = run(FakeReaders(R=card), Person(statement_key, enter_and_pull))
    assert (outcome.code, outcome.auth_token) == (End.CARD_REMOVED, None)


def test_another_card_than_the_person_saw_never_gets_the_pin(statement_key: StatementKey) -> None:
    first, second = FakeCard(), FakeCard()
    readers = FakeReaders(R=first)

    def swap(operation: Operation, snapshot: Snapshot) -> None:
        readers.cards["R"] = second
        enter(b"123456")(operation, snapshot)

    assert run(readers, Person(statement_key, swap)).code == End.CARD_REMOVED
    assert second.seen_pins == []


def test_a_reader_unplugged_while_the_pin_is_typed(statement_key: StatementKey) -> None:
    readers = FakeReaders(R=FakeCard())

    def unplug(operation: Operation, snapshot: Snapshot) -> None:
        readers.cards.clear()
        enter(b"123456")(operation, snapshot)

    assert run(readers, Person(statement_key, unplug)).code == End.CARD_REMOVED


def test_two_cards_and_a_choice(statement_key: StatementKey) -> None:
    first, second = FakeCard(), FakeCard()
    outcome = run(FakeReaders(A=first, B=second), Person(statement_key, enter(b"123456", card=1)))
    assert outcome.code == End.DONE
    assert first.seen_pins == []
    assert len(second.seen_pins) == 1


def test_the_chosen_reader_alone_is_used(statement_key: StatementKey) -> None:
    first, second = FakeCard(), FakeCard()
    outcome = run(FakeReaders(A=first, B=second), Person(statement_key, enter(b"123456")), reader="B")
    assert outcome.code == End.DONE
    assert first.steps == []


@pytest.mark.parametrize(
    ("card", "trouble"),
    [
        (FakeCard(empty=True), "card_not_personalised"),
        (FakeCard(faults={"connect": WrongCard()}), "card_not_personalised"),
        (FakeCard(faults={"connect": CardFault()}), "card_error"),
        (FakeCard(faults={"connect": NoCard()}), "no_card"),
    ],
)
def test_cards_that_cannot_log_in(card: FakeCard, trouble: str, statement_key: StatementKey) -> None:
    person = Person(statement_key, wait, wait)
    assert run(FakeReaders(R=card), person).code == End.TIMED_OUT
    assert (State.WAITING_FOR_CARD, trouble, None) in person.shown


def test_a_usable_card_beside_an_unusable_one_is_used(statement_key: StatementKey) -> None:
    readers = FakeReaders(A=FakeCard(empty=True), B=FakeCard(), C=None)
    assert run(readers, Person(statement_key, enter(b"123456"))).code == End.DONE


def test_a_card_that_was_still_waking_up_is_read_again(statement_key: StatementKey) -> None:
    card = FakeCard(faults={"connect": CardFault()})
    person = Person(statement_key, wait, do(card.faults.clear), enter(b"123456"))
    assert run(FakeReaders(R=card), person).code == End.DONE


def test_a_fault_of_the_reader_service_passes(statement_key: StatementKey) -> None:
    """It may stumble while a reader or card comes or goes. The person is told if it lasts, and the login goes on."""
    readers = FakeReaders(R=FakeCard())
    readers.fault = CardFault("list readers: an internal error")
    person = Person(statement_key, wait, wait, do(lambda: setattr(readers, "fault", None)), enter(b"123456"))
    assert run(readers, person).code == End.DONE
    assert [trouble for _, trouble, _ in person.shown] == ["", "card_error", "card_error", ""]


@pytest.mark.parametrize("step", ["connect", "verify_pin", "sign"])
def test_what_no_rule_explains_is_a_card_error(step: str, statement_key: StatementKey) -> None:
    card = FakeCard()

    def break_down() -> None:
        raise ZeroDivisionError

    def enter_and_break(operation: Operation, snapshot: Snapshot) -> None:
        card.before[step] = break_down
        enter(b"123456")(operation, snapshot)

    assert run(FakeReaders(R=card), Person(statement_key, enter_and_break)) == Outcome(code=End.CARD_ERROR)
    assert all(pin == bytes(len(pin)) for pin in card.seen_pins)


@pytest.mark.parametrize("step", ["certificate", "verify_pin", "sign"])
def test_cancelling_while_the_card_works_drops_its_signature(step: str, statement_key: StatementKey) -> None:
    card = FakeCard()

    def enter_then_cancel(operation: Operation, snapshot: Snapshot) -> None:
        card.before[step] = operation.cancel
        enter(b"123456")(operation, snapshot)

    outcome = run(FakeReaders(R=card), Person(statement_key, enter_then_cancel))
    assert (outcome.code, outcome.auth_token) == (End.USER_CANCELLED, None)
    if step == "certificate":
        assert card.seen_pins == []


def test_a_pin_while_no_card_is_there_goes_nowhere(statement_key: StatementKey) -> None:
    readers = FakeReaders(R=None)

    def enter_too_early(operation: Operation, snapshot: Snapshot) -> None:
        with pytest.raises(NotWaitingForPin):
            enter(b"123456")(operation, snapshot)

    card = FakeCard()
    person = Person(statement_key, enter_too_early, do(lambda: readers.cards.update(R=card)), wait)
    assert run(readers, person).code == End.TIMED_OUT
    assert card.seen_pins == []


def test_a_fault_of_a_card_that_then_turns_out_to_be_gone(statement_key: StatementKey) -> None:
    card = FakeCard()
    readers = FakeReaders(R=card)

    def enter_and_pull(operation: Operation, snapshot: Snapshot) -> None:
        card.faults["sign"] = CardFault("an answer of 0 octets")
        card.before["sign"] = lambda: readers.cards.update(R=None)
        enter(b"123456")(operation, snapshot)

    assert run(readers, Person(statement_key, enter_and_pull)).code == End.CARD_REMOVED
