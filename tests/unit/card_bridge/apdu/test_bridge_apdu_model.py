"""Commands and answers in all their forms."""

import pytest

from card_bridge.apdu.errors import MalformedApdu
from card_bridge.apdu.model import CommandApdu, ResponseApdu
from card_bridge.apdu.status import StatusWord


@pytest.mark.parametrize(
    ("octets", "data", "ne", "extended"),
    [
        ("00a40400", "", 0, False),
        ("00c0000010", "", 16, False),
        ("00c0000000", "", 256, False),
        ("00a4040002a000", "a000", 0, False),
        ("00a4040002a00000", "a000", 256, False),
        ("00cb3fff000000", "", 65_536, True),
        ("00cb3fff000100", "", 256, True),
        ("00db3fff000002aabb", "aabb", 0, True),
        ("00db3fff000002aabb0000", "aabb", 65_536, True),
    ],
)
def test_every_form_is_read_and_written(octets: str, data: str, ne: int, extended: bool) -> None:
    command = CommandApdu.parse(bytes.fromhex(octets))

    assert (command.data.hex(), command.ne, command.extended) == (data, ne, extended)
    assert command.encode().hex() == octets


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "00a404",
        "00a4040003a000",  # Lc says one more than there is
        "00a4040001a00000",  # two octets after the data
        "00cb3fff0000",  # extended length cut off
        "00db3fff000003aabb",
        "00db3fff000002aabb00",  # one octet of an extended Le
        "00db3fff00000000",  # extended Lc of zero
        "00db3fff000002aabb000000",
    ],
)
def test_what_is_no_command_is_refused(octets: str) -> None:
    with pytest.raises(MalformedApdu):
        CommandApdu.parse(bytes.fromhex(octets))


def test_a_short_command_holds_no_long_data() -> None:
    with pytest.raises(MalformedApdu):
        CommandApdu(ins=0xDB, data=bytes(256))
    assert len(CommandApdu(ins=0xDB, data=bytes(256), extended=True).encode()) == 4 + 3 + 256


def test_a_pin_is_in_no_repr() -> None:
    command = CommandApdu(ins=0x20, p2=0x80, data=bytearray(b"123456\xff\xff"))

    assert "3456" not in repr(command)
    assert "data" not in repr(ResponseApdu(data=b"secret"))


@pytest.mark.parametrize("octets", [b"", b"\x90", bytes(65_539)])
def test_what_is_no_answer_is_refused(octets: bytes) -> None:
    with pytest.raises(MalformedApdu):
        ResponseApdu.parse(octets)


@pytest.mark.parametrize(
    ("word", "tries", "remaining", "meaning"),
    [
        (0x63C2, 2, None, "verification failed, 2 tries left"),
        (0x63C0, 0, None, "verification failed, 0 tries left"),
        (0x6983, 0, None, "authentication method blocked"),
        (0x6100, None, 256, "more to come"),
        (0x6112, None, 18, "more to come"),
        (0x6A82, None, None, "file or application not found"),
        (0x1234, None, None, "unknown status"),
    ],
)
def test_a_status_word_says_what_it_means(word: int, tries: int | None, remaining: int | None, meaning: str) -> None:
    status = StatusWord(word)

    assert (status.tries_left, status.remaining, status.meaning) == (tries, remaining, meaning)
