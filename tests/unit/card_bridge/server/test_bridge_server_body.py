"""Forms with a PIN: read without leaving copies, repeats refused, memory wiped."""

import pytest

from card_bridge.server.body import parse_form
from card_bridge.server.errors import MalformedForm


def test_fields_are_decoded_and_the_body_is_wiped() -> None:
    body = bytearray(b"pin=12%3456&action=pin&empty=&name=%E8%AE%80+a")
    form = parse_form(body)
    assert form == {"pin": b"1246"[:2] + b"456", "action": b"pin", "empty": b"", "name": "讀 a".encode()}
    assert body == bytes(len(body))


@pytest.mark.parametrize(
    "body",
    [
        b"pin",
        b"pin=1&pin=2",
        b"p%69n=1&pin=2",
        b"pin=%",
        b"pin=%1",
        b"pin=%zz",
        b"pin=%00",
        b"pin=%0a",
        b"pin=a\x7f",
        b"pin=" + b"1" * 129,
        b"=1&=2",
        b"%ff=1",
        b"a=1&&b=2",
        b"&".join(b"a%d=1" % number for number in range(17)),
    ],
)
def test_malformed_forms_are_refused_and_wiped(body: bytes) -> None:
    memory = bytearray(body)
    with pytest.raises(MalformedForm):
        parse_form(memory)
    assert memory == bytes(len(memory))


def test_no_body_has_no_fields() -> None:
    assert parse_form(bytearray()) == {}
