"""A statement altered by one octet, anywhere and in any way, is never shown; nor is any text that is none."""

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from card_bridge.statement.errors import StatementRefused
from card_bridge.statement.model import LocalText
from card_bridge.statement.providers import Provider
from card_bridge.statement.service import StatementVerifier
from card_bridge.web_eid.origin import Origin

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
ORIGIN = Origin("https://id.example.tw")
PROVIDER = Provider(
    origin=ORIGIN, issuer=ORIGIN, name=LocalText(zh_tw="測試", en="Test"), keys={"s1": KEY.public_key()}
)
VERIFIER = StatementVerifier(lambda: NOW)


def b64u(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def nonce_of(compact: str) -> str:
    return b64encode(sha256(compact.encode("utf-8", "surrogatepass")).digest()).decode()


def make_statement() -> str:
    header = {"alg": "ES256", "typ": "citizen-statement+jwt", "kid": "s1"}
    issued = int(NOW.timestamp())
    text = {"zh-TW": "報稅", "en": "Tax"}
    members = {"iss": ORIGIN, "iat": issued, "exp": issued + 60, "nonce": b64u(bytes(32)), "flow": "card"}
    members |= {"origin": ORIGIN, "client_id": "tax", "client_name": text, "purpose": text, "acr": "high"}
    members |= {"claims": ["name"], "documents": []}
    message = f"{b64u(json.dumps(header).encode())}.{b64u(json.dumps(members).encode())}"
    r, s = decode_dss_signature(KEY.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{message}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


COMPACT = make_statement()


def verify(compact: str, nonce: str) -> None:
    VERIFIER.verify(compact, challenge_nonce=nonce, provider=PROVIDER)


def test_the_statement_itself_is_good() -> None:
    verify(COMPACT, nonce_of(COMPACT))


@given(place=st.integers(0, len(COMPACT) - 1), octet=st.integers(0, 255))
def test_one_octet_altered(place: int, octet: int) -> None:
    altered = COMPACT[:place] + chr(octet) + COMPACT[place + 1 :]
    if altered == COMPACT:
        return
    for nonce in (nonce_of(COMPACT), nonce_of(altered)):  # also where the attacker makes the nonce to fit
        with pytest.raises(StatementRefused):
            verify(altered, nonce)


def test_every_octet_altered_by_one_bit() -> None:
    for place in range(len(COMPACT)):
        altered = COMPACT[:place] + chr(ord(COMPACT[place]) ^ 1) + COMPACT[place + 1 :]
        for nonce in (nonce_of(COMPACT), nonce_of(altered)):
            with pytest.raises(StatementRefused):
                verify(altered, nonce)


@given(place=st.integers(0, len(COMPACT)), inserted=st.characters())
def test_one_character_inserted(place: int, inserted: str) -> None:
    altered = COMPACT[:place] + inserted + COMPACT[place:]
    for nonce in (nonce_of(COMPACT), nonce_of(altered)):
        with pytest.raises(StatementRefused):
            verify(altered, nonce)


@given(start=st.integers(0, len(COMPACT)), end=st.integers(0, len(COMPACT)))
def test_a_part_cut_out(start: int, end: int) -> None:
    start, end = min(start, end), max(start, end)
    altered = COMPACT[:start] + COMPACT[end:]
    if altered != COMPACT:
        with pytest.raises(StatementRefused):
            verify(altered, nonce_of(altered))


@given(text=st.text(max_size=300))
def test_any_text(text: str) -> None:
    for nonce in (nonce_of(text), text):
        with pytest.raises(StatementRefused):
            verify(text, nonce)


@given(header=st.binary(max_size=60), payload=st.binary(max_size=200), signature=st.binary(max_size=70))
def test_any_three_parts(header: bytes, payload: bytes, signature: bytes) -> None:
    compact = ".".join(b64u(part) for part in (header, payload, signature))
    with pytest.raises(StatementRefused):
        verify(compact, nonce_of(compact))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=10,
)


@given(member=st.sampled_from(["iss", "iat", "exp", "nonce", "flow", "origin", "client_name", "claims"]), value=JSON)
def test_any_value_of_a_member_that_the_provider_signed(member: str, value: object) -> None:
    """Even a provider that signs nonsense is refused without an unexpected error."""
    members = json.loads(b64decode_part(COMPACT.split(".")[1])) | {member: value}
    message = f"{COMPACT.split('.')[0]}.{b64u(json.dumps(members).encode())}"
    r, s = decode_dss_signature(KEY.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    compact = f"{message}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    try:
        verify(compact, nonce_of(compact))
    except StatementRefused:
        return
    assert member in ("iat", "exp", "claims", "client_name")


def b64decode_part(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
