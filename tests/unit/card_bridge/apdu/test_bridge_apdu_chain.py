"""The chain between long commands and cards that take short ones."""

from dataclasses import dataclass, field

import pytest

from card_bridge.apdu.chain import ANSWER_LIMIT, channel_over
from card_bridge.apdu.errors import EndlessAnswer, MalformedApdu
from card_bridge.apdu.model import CommandApdu


@dataclass
class Script:
    """A transport that answers from a list and keeps what it was sent."""

    answers: list[str]
    sent: list[str] = field(default_factory=list)
    buffers: list[bytearray] = field(default_factory=list)

    def transmit(self, command: bytearray) -> bytes:
        self.sent.append(bytes(command).hex())
        self.buffers.append(command)
        return bytes.fromhex(self.answers.pop(0))


class Endless:
    """A card that always has more."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def transmit(self, command: bytearray) -> bytes:
        return self.answer


def test_long_data_goes_as_a_chain_whose_last_command_wants_the_answer() -> None:
    card = Script(["9000", "9000", "aa9000"])

    answer = channel_over(card).send(CommandApdu(ins=0xDB, p1=0x3F, p2=0xFF, data=bytes(600), ne=256, extended=True))

    assert answer.data == b"\xaa"
    assert [octets[:10] for octets in card.sent] == ["10db3fffff", "10db3fffff", "00db3fff5a"]
    assert card.sent[-1].endswith("00")
    assert sum(len(octets) // 2 for octets in card.sent) == 600 + 3 * 5 + 1


def test_a_chain_stops_at_the_first_refusal() -> None:
    card = Script(["6884"])

    answer = channel_over(card).send(CommandApdu(ins=0xDB, data=bytes(600), extended=True))

    assert (answer.status, len(card.sent)) == (0x6884, 1)


def test_an_extended_card_gets_one_command() -> None:
    card = Script(["9000"])

    channel_over(card, extended=True).send(CommandApdu(ins=0xDB, data=bytes(600), ne=256, extended=True))

    assert card.sent[0].startswith("00db0000000258")


def test_an_answer_in_parts_is_collected() -> None:
    card = Script(["01026103", "0304056101", "069000"])

    answer = channel_over(card).send(CommandApdu(ins=0xCB, ne=256))

    assert (answer.data.hex(), answer.status) == ("010203040506", 0x9000)
    assert card.sent[1:] == ["00c0000003", "00c0000001"]


def test_a_corrected_length_is_asked_for_again() -> None:
    card = Script(["6c03", "0102039000"])

    assert channel_over(card).send(CommandApdu(ins=0xCB, ne=256)).data.hex() == "010203"
    assert card.sent[1] == "00cb000003"


def test_t0_asks_for_no_answer_beside_data() -> None:
    card = Script(["6102", "aabb9000"])

    assert channel_over(card, t0=True).send(CommandApdu(ins=0xCB, data=b"\x5c", ne=256)).data.hex() == "aabb"
    assert card.sent == ["00cb0000015c", "00c0000002"]


def test_what_was_sent_is_wiped() -> None:
    card = Script(["9000"])

    channel_over(card).send(CommandApdu(ins=0x20, p2=0x80, data=bytearray(b"123456\xff\xff")))

    assert card.sent == ["0020008008313233343536ffff"]
    assert not any(card.buffers[0])


@pytest.mark.parametrize("answer", [b"\x61\x00", bytes(256) + b"\x61\x00"])
def test_a_card_that_never_ends_is_given_up(answer: bytes) -> None:
    with pytest.raises(EndlessAnswer, match=str(ANSWER_LIMIT)):
        channel_over(Endless(answer)).send(CommandApdu(ins=0xCB, ne=256))


def test_an_answer_without_a_status_word_is_refused() -> None:
    with pytest.raises(MalformedApdu):
        channel_over(Endless(b"\x90")).send(CommandApdu(ins=0xCB, ne=256))
