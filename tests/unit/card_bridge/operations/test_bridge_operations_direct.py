"""The command line's way: no page, no waiting, one card."""

import pytest

from card_bridge.operations.direct import DirectRequest, authenticate
from card_bridge.operations.errors import AskpassFailed, LastTryUnconfirmed, SeveralCards
from card_bridge.piv.errors import (
    CardError,
    CardFault,
    CardNotPersonalised,
    CardRemoved,
    NoCard,
    NoReader,
    PinBlocked,
    PinIncorrect,
    WrongCard,
)
from card_bridge.web_eid.origin import Origin
from support.bridge_fakes import FakeCard, FakeReaders, StatementKey


class FakePrompt:
    def __init__(self, *pins: bytes, may_repeat: bool = False, knows_last_try: bool = False) -> None:
        self.pins = [bytearray(pin) for pin in pins]
        self.given = list(self.pins)
        self.may_repeat = may_repeat
        self.knows_last_try = knows_last_try
        self.asked: list[tuple[int | None, bool]] = []

    def ask(self, request: DirectRequest, *, tries_left: int | None, refused: bool) -> bytearray:
        self.asked.append((tries_left, refused))
        if not self.pins:
            raise AskpassFailed
        return self.pins.pop(0)

    def confirm_last_try(self) -> bool:
        return self.knows_last_try


@pytest.fixture
def request_(statement_key: StatementKey) -> DirectRequest:
    verified = statement_key.verified()
    return DirectRequest(
        origin=Origin("https://id.example.tw"), challenge_nonce=verified.challenge_nonce, verified=verified
    )


def with_card(request: DirectRequest, number: str) -> DirectRequest:
    return DirectRequest(
        origin=request.origin,
        challenge_nonce=request.challenge_nonce,
        verified=request.verified,
        card_number=number,
    )


def test_a_token_and_a_wiped_pin(request_: DirectRequest) -> None:
    prompt = FakePrompt(b"123456")
    token = authenticate(FakeReaders(R=FakeCard()), request_, prompt)
    assert token.to_wire()["algorithm"] == "ES256"
    assert prompt.asked == [(3, False)]
    assert prompt.given[0] == bytes(6)


def test_a_program_is_asked_once(request_: DirectRequest) -> None:
    card = FakeCard()
    prompt = FakePrompt(b"000000", b"000000")
    with pytest.raises(PinIncorrect) as caught:
        authenticate(FakeReaders(R=card), request_, prompt)
    assert caught.value.tries_left == 2
    assert card.tries == 2
    assert prompt.given[0] == bytes(6)


def test_a_person_is_asked_again_until_the_last_try(request_: DirectRequest) -> None:
    card = FakeCard()
    prompt = FakePrompt(b"000000", b"000000", b"123456", may_repeat=True)
    with pytest.raises(LastTryUnconfirmed):
        authenticate(FakeReaders(R=card), request_, prompt)
    assert prompt.asked == [(3, False), (2, True)]
    assert card.tries == 1


def test_the_last_try_when_the_person_knows(request_: DirectRequest) -> None:
    authenticate(FakeReaders(R=FakeCard(tries=1)), request_, FakePrompt(b"123456", knows_last_try=True))
    with pytest.raises(PinBlocked):
        prompt = FakePrompt(b"000000", may_repeat=True, knows_last_try=True)
        authenticate(FakeReaders(R=FakeCard(tries=1)), request_, prompt)


def test_a_blocked_card_is_not_asked_about(request_: DirectRequest) -> None:
    prompt = FakePrompt(b"123456")
    with pytest.raises(PinBlocked):
        authenticate(FakeReaders(R=FakeCard(tries=0)), request_, prompt)
    assert prompt.asked == []


def test_the_card_asked_for_among_several(request_: DirectRequest) -> None:
    first, second = FakeCard(number="1" * 16), FakeCard(number="2" * 16)
    readers = FakeReaders(A=first, B=second)
    with pytest.raises(SeveralCards):
        authenticate(readers, request_, FakePrompt(b"123456"))
    authenticate(readers, with_card(request_, "2" * 16), FakePrompt(b"123456"))
    assert first.seen_pins == []
    with pytest.raises(WrongCard):
        authenticate(readers, with_card(request_, "3" * 16), FakePrompt(b"123456"))


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        (FakeReaders(), NoReader),
        (FakeReaders(R=None), NoCard),
        (FakeReaders(R=FakeCard(empty=True)), CardNotPersonalised),
        (FakeReaders(R=FakeCard(faults={"connect": WrongCard()})), WrongCard),
        (FakeReaders(A=FakeCard(faults={"connect": CardRemoved()}), B=FakeCard(empty=True)), CardNotPersonalised),
        (FakeReaders(R=FakeCard(faults={"sign": CardRemoved()})), CardRemoved),
        (FakeReaders(R=FakeCard(faults={"sign": CardFault()})), CardFault),
    ],
)
def test_each_trouble_is_its_own_error(
    readers: FakeReaders, expected: type[CardError], request_: DirectRequest
) -> None:
    with pytest.raises(CardError) as caught:
        authenticate(readers, request_, FakePrompt(b"123456"))
    assert type(caught.value) is expected


def test_a_card_swapped_while_the_person_types_never_gets_the_pin(request_: DirectRequest) -> None:
    readers, other = FakeReaders(R=FakeCard()), FakeCard()

    class Swapping(FakePrompt):
        def ask(self, request: DirectRequest, *, tries_left: int | None, refused: bool) -> bytearray:
            readers.cards["R"] = other
            return super().ask(request, tries_left=tries_left, refused=refused)

    with pytest.raises(CardRemoved):
        authenticate(readers, request_, Swapping(b"123456"))
    assert other.seen_pins == []
