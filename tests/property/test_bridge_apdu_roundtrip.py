"""Every command, answer and data object reads back as it was; nothing that a stranger sends does more than refuse."""

from hypothesis import given
from hypothesis import strategies as st

from card_bridge.apdu import tlv
from card_bridge.apdu.chain import channel_over
from card_bridge.apdu.errors import ApduError, MalformedApdu, MalformedTlv
from card_bridge.apdu.model import CommandApdu, ResponseApdu
from card_bridge.apdu.status import StatusWord
from card_bridge.piv.errors import CardError
from card_bridge.piv.objects import Chuid, Discovery, parse_certificate
from card_bridge.virtual.card import VirtualCard

OCTET = st.integers(0, 255)
TAGS = st.one_of(
    st.integers(1, 255).filter(lambda tag: tag & 0x1F != 0x1F),
    st.integers(0, 127).map(lambda low: 0x5F00 | low),
    st.integers(0, 127).map(lambda low: 0x5FC100 | low),
)


@st.composite
def commands(draw: st.DrawFn) -> CommandApdu:
    extended = draw(st.booleans())
    data = draw(st.binary(max_size=600 if extended else 255))
    ne = draw(st.integers(0, 65_536 if extended else 256))
    header = [draw(OCTET) for _ in range(4)]
    return CommandApdu(
        cla=header[0],
        ins=header[1],
        p1=header[2],
        p2=header[3],
        data=data,
        ne=ne,
        extended=extended and bool(data or ne),
    )


@given(commands())
def test_a_command_reads_back(command: CommandApdu) -> None:
    assert CommandApdu.parse(command.encode()) == command


@given(st.binary(max_size=300))
def test_any_octets_are_a_command_or_refused(octets: bytes) -> None:
    try:
        command = CommandApdu.parse(octets)
    except MalformedApdu:
        return
    assert bytes(command.encode()) == octets


@given(st.binary(max_size=400), st.integers(0, 0xFFFF))
def test_an_answer_reads_back(data: bytes, word: int) -> None:
    answer = ResponseApdu(data=data, status=StatusWord(word))
    assert ResponseApdu.parse(answer.encode()) == answer


@given(st.lists(st.tuples(TAGS, st.binary(max_size=300)), max_size=20))
def test_data_objects_read_back(objects: list[tuple[int, bytes]]) -> None:
    encoded = b"".join(tlv.encode(tag, value) for tag, value in objects)
    assert [(each.tag, each.value) for each in tlv.parse(encoded)] == objects


@given(st.binary(max_size=200))
def test_hostile_data_objects_are_parsed_or_refused(octets: bytes) -> None:
    try:
        objects = tlv.parse(octets)
    except MalformedTlv:
        return
    again = b"".join(each.encode() for each in objects)
    assert len(again) <= len(octets)
    assert tlv.parse(again) == objects


@given(st.binary(max_size=200))
def test_hostile_objects_of_a_card_end_in_a_card_error(octets: bytes) -> None:
    for parse in (parse_certificate, Chuid.parse, Discovery.parse):
        try:
            parse(octets)
        except CardError:
            continue


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8))
def test_a_hostile_card_cannot_make_the_chain_do_more_than_refuse(answers: list[bytes]) -> None:
    class Hostile:
        def transmit(self, command: bytearray) -> bytes:
            return answers.pop(0) if answers else b"\x90\x00"

    try:
        channel_over(Hostile()).send(CommandApdu(ins=0xCB, data=b"\x5c", ne=256))
    except ApduError:
        return


SELECT = bytes.fromhex("00a4040009a00000030800001000")
CARD = VirtualCard()


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_a_virtual_card_answers_whatever_a_reader_sends(octets: list[bytes]) -> None:
    CARD.reset()
    CARD.transmit(SELECT)
    for each in octets:
        answer = ResponseApdu.parse(CARD.transmit(each))
        assert answer.status.sw1 in range(0x61, 0x70) or answer.status == 0x9000
