"""The statement's parser against anything, and the round trip of everything that may be a statement."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ca_core.statement import (
    Document,
    Flow,
    LocalText,
    StatementIssuer,
    StatementMalformed,
    StatementRefused,
    parse_compact,
    verify_statement,
)

ISSUER = "https://id.example.tw"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
ISSUERS = StatementIssuer(KEY, "k", issuer=ISSUER, clock=lambda: NOW, rng=lambda size: bytes(range(size)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def texts(limit: int) -> st.SearchStrategy[str]:
    shown = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"))
    shown = shown.filter(lambda character: not "\U000e0000" <= character <= "\U000e0fff")  # tags, variation selectors
    return st.text(shown, min_size=1, max_size=limit).filter(lambda text: text == text.strip())


LOCAL_TEXTS = st.builds(LocalText, texts(40), texts(40))
REQUESTS = st.fixed_dictionaries(
    {
        "flow": st.sampled_from([Flow.SIGN, Flow.DECRYPT]),
        "origin": st.sampled_from([ISSUER, "https://agency.example.tw:8443", "http://localhost:3000"]),
        "client_id": st.from_regex(r"[A-Za-z0-9._-]{1,100}", fullmatch=True),
        "client_name": LOCAL_TEXTS,
        "purpose": LOCAL_TEXTS,
        "acr": st.just("urn:citizenid:loa:high"),
        "claims": st.lists(st.from_regex(r"[a-z_0-9]{1,20}", fullmatch=True), max_size=20, unique=True),
        "documents": st.lists(
            st.builds(Document, name=texts(20), sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
            min_size=1,
            max_size=4,
        ),
        "lifetime_s": st.integers(1, 600),
    }
)


@given(REQUESTS)
def test_whatever_is_issued_verifies_and_reads_back(request: dict[str, Any]) -> None:
    signed = ISSUERS.issue(**request)
    assert parse_compact(signed.compact).statement == signed.statement
    verified = verify_statement(signed.compact, ISSUERS.keys, issuer=ISSUER, origin=request["origin"], now=NOW)
    assert verified == signed.statement


@given(REQUESTS, st.data())
def test_one_character_altered_anywhere_is_refused(request: dict[str, Any], data: st.DataObject) -> None:
    signed = ISSUERS.issue(**request)
    place = data.draw(st.integers(0, len(signed.compact) - 1))
    other = data.draw(st.characters(codec="latin-1").filter(lambda character: character != signed.compact[place]))
    altered = signed.compact[:place] + other + signed.compact[place + 1 :]
    with pytest.raises(StatementRefused):
        verify_statement(altered, ISSUERS.keys, issuer=ISSUER, origin=request["origin"], now=NOW)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{86}", fullmatch=True))
def test_any_text_is_refused_as_malformed(text: str) -> None:
    with pytest.raises(StatementMalformed):
        parse_compact(text)


@given(JSON, JSON)
def test_any_json_is_refused_as_malformed(header: object, payload: object) -> None:
    with pytest.raises(StatementMalformed):
        parse_compact(f"{segment(header)}.{segment(payload)}.{'A' * 86}")


@given(
    st.sampled_from(sorted(json.loads('{"iss":0,"iat":0,"exp":0,"nonce":0,"flow":0,"origin":0,"documents":0}'))),
    JSON,
)
def test_any_other_value_of_a_member_is_refused_as_malformed(member: str, value: object) -> None:
    header = {"alg": "ES256", "typ": "citizen-statement+jwt", "kid": "k"}
    payload = {
        "iss": ISSUER,
        "iat": 1,
        "exp": 61,
        "nonce": "A" * 43,
        "flow": "card",
        "origin": ISSUER,
        "client_id": "c",
        "client_name": {"zh-TW": "名", "en": "n"},
        "purpose": {"zh-TW": "用", "en": "p"},
        "acr": "a",
        "claims": [],
        "documents": [],
    }
    assert parse_compact(f"{segment(header)}.{segment(payload)}.{'A' * 86}").statement.client_id == "c"
    if value == payload[member] or (member in ("iat", "exp") and type(value) is int):
        return
    with pytest.raises(StatementMalformed):
        parse_compact(f"{segment(header)}.{segment(payload | {member: value})}.{'A' * 86}")


def segment(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode("ascii")
