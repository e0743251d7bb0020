"""Every check of a statement, each with its own reason, in the documented order."""

import json
from base64 import b64encode
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from card_bridge.statement import errors
from card_bridge.statement.model import VerifiedStatement, code_of
from card_bridge.statement.service import StatementVerifier
from support.bridge_fakes import NOW, StatementKey, b64u, nonce_of, payload

HEADER = {"alg": "ES256", "typ": "citizen-statement+jwt", "kid": "s1"}


def verify(key: StatementKey, compact: str, *, nonce: str | None = None, **provider: object) -> VerifiedStatement:
    verifier = StatementVerifier(lambda: NOW)
    nonce = nonce_of(compact) if nonce is None else nonce
    return verifier.verify(compact, challenge_nonce=nonce, provider=key.provider(**provider))


def test_a_good_statement_is_what_was_signed(statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    verified = verify(statement_key, compact)
    assert verified.challenge_nonce == nonce_of(compact)
    assert verified.statement.client_name.in_language("en") == "Income tax filing"
    assert verified.statement.client_name.in_language("zh-TW") == "綜合所得稅電子申報"
    assert verified.statement.claims == ("name", "birthdate")
    assert len(verified.code) == 4


def test_the_code_keeps_its_leading_zeros() -> None:
    codes = {code_of(number.to_bytes(32, "big")) for number in range(2000)}
    assert all(len(code) == 4 and code.isdigit() for code in codes)
    assert any(code.startswith("0") for code in codes)


def refusal(
    key: StatementKey,
    compact: str,
    expected: type[errors.StatementRefused],
    *,
    nonce: str | None = None,
    **provider: object,
) -> None:
    with pytest.raises(errors.StatementRefused) as caught:
        verify(key, compact, nonce=nonce, **provider)
    assert type(caught.value) is expected


def test_size_is_checked_first(statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    refusal(statement_key, compact + "A" * 4096, errors.StatementTooLarge, nonce="")


def test_another_statement_of_the_same_provider_does_not_match(statement_key: StatementKey) -> None:
    other = nonce_of(statement_key.sign(payload(client_id="other")))
    refusal(statement_key, statement_key.sign(payload()), errors.StatementMismatch, nonce=other)


def test_another_spelling_of_the_nonce_does_not_match(statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    nonce = nonce_of(compact)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    respelled = nonce[:42] + alphabet[alphabet.index(nonce[42]) + 1] + "="  # the same octets to a lax decoder
    for text in (respelled, nonce + "\n", nonce[:-1], nonce.encode().hex(), "é" * 44):
        refusal(statement_key, compact, errors.StatementMismatch, nonce=text)


@pytest.mark.parametrize("change", ["", ".", "..", "a.b", "a.b.c.d", "{payload}", "{all}=", " {all}", "{all}\n", "é"])
def test_what_is_not_compact(change: str, statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    text = change.format(all=compact, payload=compact.split(".")[1])
    with pytest.raises(errors.StatementRefused) as caught:
        verify(statement_key, text)
    assert type(caught.value) in (errors.StatementNotCompact, errors.StatementHeaderInvalid)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {**HEADER, "alg": "none"},
        {**HEADER, "alg": "HS256"},
        {**HEADER, "alg": "RS256"},
        {**HEADER, "typ": "JWT"},
        {**HEADER, "crit": ["exp"]},
        {**HEADER, "jwk": {}},
        {**HEADER, "jku": "https://evil.example"},
        {**HEADER, "kid": 1},
        {**HEADER, "kid": None},
        {"alg": "ES256", "typ": "citizen-statement+jwt"},
        {"alg": "ES256", "kid": "s1"},
    ],
)
def test_other_headers(header: dict[str, Any], statement_key: StatementKey) -> None:
    compact = statement_key.sign_octets(json.dumps(header).encode(), json.dumps(payload()).encode())
    refusal(statement_key, compact, errors.StatementHeaderInvalid)


@pytest.mark.parametrize(
    "header",
    [b'{"alg":"none","alg":"ES256","typ":"citizen-statement+jwt","kid":"s1"}', b"[]", b"null", b"\xff", b"[" * 3000],
)
def test_headers_that_are_no_object(header: bytes, statement_key: StatementKey) -> None:
    compact = statement_key.sign_octets(header, b"{}")
    with pytest.raises(errors.StatementRefused) as caught:
        verify(statement_key, compact)
    assert type(caught.value) in (errors.StatementHeaderInvalid, errors.StatementTooLarge)


def test_a_key_of_somebody_else_under_the_pinned_kid(statement_key: StatementKey) -> None:
    refusal(statement_key, StatementKey().sign(payload()), errors.StatementSignatureInvalid)


def test_a_kid_that_is_not_pinned(statement_key: StatementKey) -> None:
    refusal(statement_key, StatementKey("s2").sign(payload()), errors.StatementKeyUnknown)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(63), bytes(65), b"\xff" * 64])
def test_signatures_of_no_key(signature: bytes, statement_key: StatementKey) -> None:
    signed = statement_key.sign(payload())
    compact = f"{signed.rpartition('.')[0]}.{b64u(signature)}"
    refusal(statement_key, compact, errors.StatementSignatureInvalid)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": 1},
        {"iss": "https://id.example.tw/"},
        {"iat": "1"},
        {"iat": True},
        {"iat": 1.5},
        {"exp": -1},
        {"exp": 10**30},
        {"nonce": "short"},
        {"nonce": "A" * 42 + "B"},
        {"flow": "login"},
        {"origin": "https://id.example.tw/"},
        {"client_id": ""},
        {"client_name": "plain"},
        {"client_name": {"zh-TW": "稅"}},
        {"client_name": {"zh-TW": "稅", "en": "Tax", "fr": "Impôt"}},
        {"client_name": {"zh-TW": "稅", "en": "Tax\u202e"}},
        {"client_name": {"zh-TW": "稅", "en": "Tax\u200b"}},
        {"client_name": {"zh-TW": "稅\n", "en": "Tax"}},
        {"client_name": {"zh-TW": "稅", "en": " "}},
        {"client_name": {"zh-TW": "稅" * 101, "en": "Tax"}},
        {"purpose": {"zh-TW": "稅", "en": "x" * 201}},
        {"claims": "name"},
        {"claims": ["name", "name"]},
        {"claims": [1]},
        {"claims": ["<b>"]},
        {"documents": [{"name": "x", "sha256": "0" * 64}]},
        {"documents": None},
        {"cnf": {"jkt": "A" * 43}},
        {"extra": 1},
        {"acr": "a b"},
    ],
)
def test_payloads_outside_the_grammar(changes: dict[str, Any], statement_key: StatementKey) -> None:
    refusal(statement_key, statement_key.sign(payload(**changes)), errors.StatementMalformed)


@pytest.mark.parametrize("member", ["iss", "iat", "exp", "nonce", "flow", "origin", "client_name", "documents"])
def test_a_missing_member(member: str, statement_key: StatementKey) -> None:
    members = payload()
    del members[member]
    refusal(statement_key, statement_key.sign(members), errors.StatementMalformed)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"\xff", b'{"iss":1,"iss":2}', b'{"iat":NaN}', b"]" * 9 + b"["])
def test_payloads_that_are_no_object(body: bytes, statement_key: StatementKey) -> None:
    compact = statement_key.sign_octets(json.dumps(HEADER).encode(), body)
    refusal(statement_key, compact, errors.StatementMalformed)


def test_another_issuer_and_another_origin(statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    refusal(statement_key, compact, errors.StatementIssuerDiffers, issuer="https://other.example.tw")
    compact = statement_key.sign(payload(origin="https://other.example.tw"))
    refusal(statement_key, compact, errors.StatementOriginDiffers)


@pytest.mark.parametrize(
    ("iat", "exp", "expected"),
    [
        (-89, -29, None),
        (-90, -30, errors.StatementExpired),
        (30, 90, None),
        (31, 91, errors.StatementNotYetValid),
        (0, 0, errors.StatementMalformed),
        (0, 601, errors.StatementMalformed),
    ],
)
def test_time_with_thirty_seconds_of_tolerance(
    iat: int, exp: int, expected: type[errors.StatementRefused] | None, statement_key: StatementKey
) -> None:
    now = int(NOW.timestamp())
    compact = statement_key.sign(payload(iat=now + iat, exp=now + exp))
    if expected is None:
        assert verify(statement_key, compact)
    else:
        refusal(statement_key, compact, expected)


@pytest.mark.parametrize("flow", ["phone-qr", "phone-link", "phone-push", "passkey", "passkey-register"])
def test_statements_for_other_ways_in_are_not_shown(flow: str, statement_key: StatementKey) -> None:
    refusal(statement_key, statement_key.sign(payload(flow=flow)), errors.StatementFlowRefused)


def test_the_person_gets_no_more_time_than_the_provider_gives(statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    verified = verify(statement_key, compact)
    for passed, left in ((0, 60), (-20, 60), (45, 45), (80, 10)):
        verifier = StatementVerifier(partial(NOW.__add__, timedelta(seconds=passed)))
        assert verifier.seconds_left(verified) == left


def test_codes_and_reasons_are_stable() -> None:
    expected = {
        "StatementMissing": ("statement_unavailable", "statement_missing"),
        "ProviderNotPinned": ("provider_unknown", ""),
        "StatementTooLarge": ("statement_invalid", "statement_too_large"),
        "StatementMismatch": ("statement_mismatch", "statement_digest_differs"),
        "StatementNotCompact": ("statement_invalid", "statement_not_compact"),
        "StatementHeaderInvalid": ("statement_invalid", "statement_header"),
        "StatementKeyUnknown": ("statement_invalid", "statement_key_unknown"),
        "StatementSignatureInvalid": ("statement_invalid", "statement_signature"),
        "StatementMalformed": ("statement_invalid", "statement_grammar"),
        "StatementIssuerDiffers": ("statement_invalid", "statement_issuer"),
        "StatementOriginDiffers": ("origin_mismatch", "statement_origin"),
        "StatementNotYetValid": ("statement_expired", "statement_not_yet_valid"),
        "StatementExpired": ("statement_expired", "statement_expired"),
        "StatementFlowRefused": ("statement_invalid", "statement_flow"),
    }
    found = {each.__name__: (each.code, each.reason) for each in errors.StatementRefused.__subclasses__()}
    assert found == expected


def test_a_nonce_of_other_octets_is_no_digest(statement_key: StatementKey) -> None:
    compact = statement_key.sign(payload())
    refusal(statement_key, compact, errors.StatementMismatch, nonce=b64encode(bytes(32)).decode())
