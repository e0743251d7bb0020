"""The server's own parsers: any octets give fields or a refusal, as the standard library where both accept."""

import json
from urllib.parse import parse_qsl, urlencode

from hypothesis import given
from hypothesis import strategies as st

from card_bridge.server.body import parse_form
from card_bridge.server.errors import MalformedForm
from card_bridge.statement.jose import parse_base64url, parse_json_object
from card_bridge.web_eid.errors import NonceMalformed, OriginMalformed
from card_bridge.web_eid.model import parse_nonce
from card_bridge.web_eid.origin import parse_origin

PRINTABLE = st.text(
    st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=20
)


@given(st.binary(max_size=300))
def test_any_octets_as_a_form(octets: bytes) -> None:
    body = bytearray(octets)
    try:
        form = parse_form(body)
    except MalformedForm:
        pass
    else:
        assert len(form) <= 16
    assert body == bytes(len(octets))


@given(st.dictionaries(PRINTABLE, PRINTABLE, max_size=5))
def test_forms_as_browsers_write_them(fields: dict[str, str]) -> None:
    encoded = urlencode(fields)
    form = {name: value.decode("utf-8") for name, value in parse_form(bytearray(encoded.encode())).items()}
    assert form == fields == dict(parse_qsl(encoded, keep_blank_values=True))


@given(st.binary(max_size=300))
def test_any_octets_as_json(octets: bytes) -> None:
    try:
        document = parse_json_object(octets)
    except ValueError:
        return
    assert document == json.loads(octets)


@given(st.text(max_size=80))
def test_any_text_as_base64url(text: str) -> None:
    try:
        octets = parse_base64url(text)
    except ValueError:
        return
    assert len(text) == -(-len(octets) * 4 // 3)


@given(st.text(max_size=200))
def test_any_text_as_a_nonce_or_an_origin(text: str) -> None:
    try:
        assert parse_nonce(text) == text
    except NonceMalformed:
        pass
    try:
        assert parse_origin(text) == text
    except OriginMalformed:
        pass


@given(
    st.sampled_from(["https://", "http://", "HTTPS://", "wss://"]),
    st.text("abz019-._[]:@/?#%", max_size=40),
    st.sampled_from(["", ":443", ":80", ":8443", ":0", "/"]),
)
def test_whatever_looks_like_an_origin(scheme: str, host: str, port: str) -> None:
    text = scheme + host + port
    try:
        origin = parse_origin(text)
    except OriginMalformed:
        return
    assert origin == text
    assert not set(text.partition("://")[2]) & set("@/?#%")
