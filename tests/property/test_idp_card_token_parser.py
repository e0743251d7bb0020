"""The token parser against anything at all: it answers with a token or with one error."""

import json
from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.authn.card.errors import TokenAlgorithmMismatch, TokenBindingMismatch, TokenMalformed
from idp.authn.card.web_eid import (
    MAX_CERTIFICATE_BYTES,
    MAX_SIGNATURE_BYTES,
    TokenAlgorithm,
    UnverifiedToken,
    parse_token,
    verify_signature,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["unverifiedCertificate", "algorithm", "signature", "format", "appVersion"])
GOOD = st.fixed_dictionaries(
    {
        "unverifiedCertificate": st.binary(min_size=1, max_size=64).map(lambda octets: b64encode(octets).decode()),
        "algorithm": st.sampled_from([algorithm.value for algorithm in TokenAlgorithm]),
        "signature": st.binary(min_size=1, max_size=512).map(lambda octets: b64encode(octets).decode()),
        "format": st.sampled_from(["web-eid:1", "web-eid:1.0", "web-eid:1.1"]),
        "appVersion": st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=255),
    }
)
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()


@given(st.dictionaries(MEMBERS | st.text(), JSON))
def test_any_object_is_a_token_or_malformed(members: dict[str, object]) -> None:
    try:
        token = parse_token(members)
    except TokenMalformed:
        return
    assert isinstance(token, UnverifiedToken)


@given(GOOD)
def test_what_is_read_is_what_was_written(members: dict[str, str]) -> None:
    token = parse_token(members)
    assert b64encode(token.unverified_certificate).decode() == members["unverifiedCertificate"]
    assert b64encode(token.signature).decode() == members["signature"]
    assert (token.algorithm.value, token.app_version) == (members["algorithm"], members["appVersion"])


@given(GOOD, MEMBERS, JSON)
def test_one_member_replaced_by_anything(members: dict[str, str], name: str, value: object) -> None:
    try:
        parse_token(members | {name: value})
    except TokenMalformed:
        assert value != members[name]


@given(GOOD, MEMBERS)
def test_every_member_is_needed(members: dict[str, str], name: str) -> None:
    del members[name]
    try:
        parse_token(members)
    except TokenMalformed:
        return
    raise AssertionError(f"a token without {name}")


@given(GOOD, st.dictionaries(st.text(), JSON, max_size=3))
def test_members_of_later_formats_are_passed_over(members: dict[str, str], later: dict[str, object]) -> None:
    known = {name: value for name, value in later.items() if name not in members}
    assert parse_token({**members, **known}) == parse_token(members)


@given(GOOD, st.sampled_from(["unverifiedCertificate", "signature"]), st.data())
def test_base64_has_one_spelling(members: dict[str, str], name: str, data: st.DataObject) -> None:
    text = members[name]
    at = data.draw(st.integers(0, len(text)))
    inserted = data.draw(st.sampled_from([" ", "\n", "\t", "=", "-", "_", "\x00", "é"]))
    changed = text[:at] + inserted + text[at:]
    try:
        parse_token(members | {name: changed})
    except TokenMalformed:
        return
    raise AssertionError(changed)


@given(st.sampled_from([("unverifiedCertificate", MAX_CERTIFICATE_BYTES), ("signature", MAX_SIGNATURE_BYTES)]), GOOD)
def test_sizes_are_bounded(bound: tuple[str, int], members: dict[str, str]) -> None:
    name, limit = bound
    try:
        parse_token(members | {name: b64encode(bytes(limit + 6)).decode()})
    except TokenMalformed:
        return
    raise AssertionError("too long")


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(list(TokenAlgorithm)))
def test_no_made_up_signature_passes_or_breaks_the_verifier(signature: bytes, algorithm: TokenAlgorithm) -> None:
    token = UnverifiedToken(unverified_certificate=b"", algorithm=algorithm, signature=signature, app_version="")
    try:
        verify_signature(token, KEY, origin="https://login.example", challenge_nonce="A" * 44)
    except (TokenBindingMismatch, TokenAlgorithmMismatch):
        return
    raise AssertionError("a made-up signature passed")


@given(st.binary(min_size=1, max_size=64))
def test_a_token_survives_json(octets: bytes) -> None:
    members = {
        "unverifiedCertificate": b64encode(octets).decode(),
        "algorithm": "ES256",
        "signature": b64encode(octets).decode(),
        "format": "web-eid:1.0",
        "appVersion": "https://web-eid.eu/web-eid-app/releases/2.5.0+0",
    }
    assert parse_token(json.loads(json.dumps(members))) == parse_token(members)
