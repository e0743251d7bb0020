"""Whatever arrives at the authorization endpoint is read or refused by an error of ours, and nothing else."""

import json
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from idp.authorize.claims_parameter import MAX_CLAIMS, parse_claims_parameter
from idp.authorize.model import AuthorizationRequest
from idp.authorize.responses import AuthorizationResponses
from idp.authorize.web import parse_pairs, parse_parameters
from idp.clients.authentication import parse_basic
from idp.oauth.errors import (
    BearerError,
    InvalidClient,
    InvalidRequest,
    OAuthError,
    UnreadableRequest,
)
from idp.oauth.scopes import CLAIM_SCOPE
from idp.userinfo.bearer import parse_bearer
from support.openid_provider import basic

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(("id_token", "userinfo", "other"))
CLAIMS = st.sampled_from((*CLAIM_SCOPE, "sub", "acr", "auth_time", "shoe_size"))
REQUEST = AuthorizationRequest(
    client_id="rp",
    redirect_uri="https://rp.example/cb",
    scope=("openid",),
    state=None,
    nonce=None,
    code_challenge="c" * 43,
    sector_identifier="rp.example",
)


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    try:
        parameters = parse_parameters(octets)
    except UnreadableRequest:
        return
    assert parameters.repeated <= set(parameters.fields)
    assert all(parameters.fields.values()), "what has no value was never given"


@given(st.lists(st.tuples(st.sampled_from("abc"), TEXT), max_size=8))
def test_pairs_round_trip_and_repeats_are_seen(pairs: list[tuple[str, str]]) -> None:
    octets = urlencode(pairs).encode()
    given_pairs = [(name, value) for name, value in pairs if value]
    assert parse_pairs(octets) == given_pairs
    names = [name for name, _ in given_pairs]
    assert parse_parameters(octets).repeated == {name for name in names if names.count(name) > 1}


@given(st.text(max_size=200) | JSON.map(json.dumps))
def test_any_claims_parameter(untrusted: str) -> None:
    try:
        asked = parse_claims_parameter(untrusted)
    except InvalidRequest:
        return
    assert set(asked.id_token) | set(asked.userinfo) <= set(CLAIM_SCOPE)


@given(
    st.dictionaries(
        NAMES, st.dictionaries(CLAIMS, st.none() | st.fixed_dictionaries({"essential": st.booleans()}), max_size=6)
    )
)
def test_a_good_claims_parameter_is_read_whole(members: dict[str, dict[str, object]]) -> None:
    asked = parse_claims_parameter(json.dumps(members))
    assert set(asked.id_token) == set(members.get("id_token", {})) & set(CLAIM_SCOPE)
    assert set(asked.userinfo) == set(members.get("userinfo", {})) & set(CLAIM_SCOPE)
    assert len(asked.id_token) <= MAX_CLAIMS


@given(
    state=st.none() | VISIBLE,
    nonce=st.none() | VISIBLE,
    max_age=st.none() | st.integers(0, 10**9),
    claims=st.lists(st.sampled_from(sorted(CLAIM_SCOPE)), unique=True),
    ui_locales=TEXT,
)
def test_a_stored_request_comes_back(
    state: str | None, nonce: str | None, max_age: int | None, claims: list[str], ui_locales: str
) -> None:
    request = replace(
        REQUEST,
        state=state,
        nonce=nonce,
        max_age=max_age,
        id_token_claims=tuple(sorted(claims)),
        userinfo_claims=tuple(sorted(claims[:2])),
        ui_locales=ui_locales,
        prompt=("login", "consent"),
    )
    assert AuthorizationRequest.from_json(request.to_json()) == request


@given(state=VISIBLE, extra=st.booleans())
def test_a_response_says_what_was_put_in_and_goes_where_it_should(state: str, extra: bool) -> None:
    responses = AuthorizationResponses("https://id.example")
    redirect_uri = "https://rp.example/cb?tenant=1" if extra else "https://rp.example/cb"
    for url in (
        responses.code(redirect_uri, state, "c" * 43),
        responses.error(redirect_uri, state, InvalidRequest("a & b = c # d")),
    ):
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "rp.example", "/cb", "")
        answer = parse_qs(parts.query, strict_parsing=True)
        assert answer["state"] == [state]
        assert answer["iss"] == ["https://id.example"]
        assert len(answer.get("code", []) + answer.get("error", [])) == 1
        assert ("tenant" in answer) is extra
        assert parse_qsl(parts.query)[-1][0] == "iss"


@given(st.text(max_size=60))
def test_any_basic_header(header: str) -> None:
    for value in (header, f"Basic {header}"):
        try:
            client_id, _ = parse_basic(value)
        except InvalidClient:
            continue
        assert client_id


@given(TEXT.filter(bool), TEXT)
def test_basic_credentials_round_trip(client_id: str, secret: str) -> None:
    assert parse_basic(basic(client_id, secret)) == (client_id, secret)


@given(st.lists(st.text(max_size=40) | st.text(max_size=40).map(lambda token: f"Bearer {token}"), max_size=3))
@settings(max_examples=200)
def test_any_bearer_header(headers: list[str]) -> None:
    try:
        token = parse_bearer(headers, elsewhere=False)
    except OAuthError as error:
        assert isinstance(error, BearerError)
        return
    assert headers[0].partition(" ")[2].strip(" ") == token
