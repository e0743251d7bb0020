"""OpenID Connect Core 1.0, the code flow: one test a MUST."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from idp.authorize.errors import WrongSession
from idp.authorize.model import Redirect
from idp.authorize.store import interaction
from idp.oauth.algorithms import SigningAlgorithm
from idp.provider_keys.service import TokenKeys
from idp.sessions.model import Session
from idp.token.store import authorization_grant
from support.openid_provider import BROWSER, ISSUER, ProviderHouse, Tokens, answer_of, token_keys


def started(house: ProviderHouse, **changes: str | None) -> str:
    """The path of the interaction that a request begins."""
    house.set_cookie("browser", BROWSER)
    response = house.authorize(**changes)
    assert response.status_code == 303
    location = response.headers["location"]
    assert location.startswith("/interaction/"), location
    return str(location)


def finish(house: ProviderHouse, path: str, session: Session, allow: bool = True) -> dict[str, str]:
    """What the login and consent pages do with an interaction: the answer at the relying party."""
    found = house.provider.authorize.interaction(path.split("/")[2], BROWSER)
    step = house.provider.authorize.authenticated(found, session)
    if not isinstance(step, Redirect):
        found = house.provider.authorize.interaction(path.split("/")[2], BROWSER)
        step = house.provider.authorize.decide(found, session, allow)
    return dict(parse_qsl(urlsplit(step.url).query))


# s2 The ID token


def test_the_id_token_has_every_required_claim(house: ProviderHouse) -> None:
    """s2, s3.1.3.6"""
    session = house.log_in()
    house.consent()
    house.pass_time(seconds=90)
    tokens = json.loads(house.redeem(house.code()).text)
    claims = Tokens(tokens).claims
    now = int(house.clock().timestamp())
    half = sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims == {
        "iss": ISSUER,
        "sub": house.provider.subjects.sub("rp.example", "person-1"),
        "aud": "rp",
        "exp": now + 600,
        "iat": now,
        "auth_time": int(session.auth_time.timestamp()),
        "nonce": "nonce-1",
        "acr": "urn:citizenid:loa:high",
        "amr": ["sc", "pin"],
        "sid": house.provider.subjects.sid("rp", session.id),
        "at_hash": urlsafe_b64encode(half).rstrip(b"=").decode(),
    }


def test_the_nonce_is_passed_through_unmodified_and_never_invented(house: ProviderHouse) -> None:
    """s2, s3.1.2.1"""
    nonce = "n-0S6_WzA2Mj +/=%" + "x" * 400
    assert house.tokens(nonce=nonce).claims["nonce"] == nonce
    assert "nonce" not in house.tokens(nonce=None).claims


@pytest.mark.parametrize("nonce", ["x" * 513, "\u8eab", "a\x07"])
def test_a_nonce_out_of_bounds_is_refused(house: ProviderHouse, nonce: str) -> None:
    assert answer_of(house.authorize(nonce=nonce))["error"] == "invalid_request"


def test_rs256_for_the_client_that_registered_for_it(house: ProviderHouse) -> None:
    """s15.1: MUST support RS256; s3.1.3.7 rule 7: the algorithm the client registered."""
    client = house.register("old", id_token_signed_response_alg=SigningAlgorithm.RS256)
    tokens = house.tokens(client=client, client_id="old")
    header = json.loads(_decode(tokens.id_token.split(".")[0]))
    assert header["alg"] == "RS256"
    assert header["kid"] in {key["kid"] for key in house.browser.get("/jwks").json()["keys"]}
    assert tokens.claims["aud"] == "old"


def test_es256_otherwise(house: ProviderHouse) -> None:
    header = json.loads(_decode(house.tokens().id_token.split(".")[0]))
    assert (header["alg"], header["typ"]) == ("ES256", "JWT")


def test_without_personal_claims_in_the_id_token(house: ProviderHouse) -> None:
    """s5.4: with a code, the scopes' claims come from UserInfo."""
    claims = house.tokens(scope="openid profile age national_id certificate").claims
    assert not {"name", "birthdate", "national_id", "certificate"} & set(claims)


# s3.1.2.1 prompt, max_age


def test_prompt_none_without_a_login(house: ProviderHouse) -> None:
    """MUST NOT display any page; login_required."""
    answer = answer_of(house.authorize(prompt="none"))
    assert answer["error"] == "login_required"
    assert house.count(interaction) == 0


def test_prompt_none_without_consent(house: ProviderHouse) -> None:
    house.log_in()
    answer = answer_of(house.authorize(prompt="none"))
    assert answer["error"] == "consent_required"
    assert house.count(interaction) == house.count(authorization_grant) == 0


def test_prompt_none_with_login_and_consent(house: ProviderHouse) -> None:
    house.log_in()
    house.consent()
    assert "code" in answer_of(house.authorize(prompt="none"))


@pytest.mark.parametrize("prompt", ["none login", "login none", "sometimes", "login login", "None", "login  consent"])
def test_prompt_none_with_anything_else_and_unknown_prompts(house: ProviderHouse, prompt: str) -> None:
    """If this parameter contains none with any other value, an error is returned."""
    assert answer_of(house.authorize(prompt=prompt))["error"] == "invalid_request"


@pytest.mark.parametrize("prompt", ["login", "select_account", "login consent"])
def test_prompt_login_authenticates_again(house: ProviderHouse, prompt: str) -> None:
    """SHOULD prompt for reauthentication; the old login does not answer it."""
    old = house.log_in()
    house.consent()
    house.pass_time(seconds=5)
    path = started(house, prompt=prompt)
    assert not path.endswith("/consent")
    with pytest.raises(WrongSession):
        finish(house, path, old)
    assert house.count(authorization_grant) == 0
    assert "code" in finish(house, path, house.log_in())


def test_prompt_consent_asks_again(house: ProviderHouse) -> None:
    """SHOULD prompt for consent before returning information."""
    session = house.log_in()
    house.consent()
    path = started(house, prompt="consent")
    assert path.endswith("/consent")
    found = house.provider.authorize.interaction(path.split("/")[2], BROWSER)
    assert "code=" in house.provider.authorize.decide(found, session, True).url


def test_max_age_forces_a_login(house: ProviderHouse) -> None:
    """MUST attempt to actively re-authenticate; then auth_time MUST be in the ID token."""
    house.log_in()
    house.consent()
    house.pass_time(seconds=60)
    assert "code" in answer_of(house.authorize(max_age="60"))
    house.pass_time(seconds=1)
    assert answer_of(house.authorize(max_age="60", prompt="none"))["error"] == "login_required"
    path = started(house, max_age="60")
    new = house.log_in()
    house.pass_time(seconds=300)
    assert "code" in finish(house, path, new), "the login was fresh when the request began"


def test_max_age_zero_is_prompt_login(house: ProviderHouse) -> None:
    house.log_in()
    house.consent()
    house.pass_time(seconds=1)
    path = started(house, max_age="0")
    house.pass_time(seconds=30)
    session = house.log_in()
    house.pass_time(seconds=30)
    assert "code" in finish(house, path, session)


@pytest.mark.parametrize("max_age", ["-1", "1.5", "abc", "9" * 10, "\u0661"])
def test_a_max_age_that_is_no_number_of_seconds(house: ProviderHouse, max_age: str) -> None:
    assert answer_of(house.authorize(max_age=max_age))["error"] == "invalid_request"


# s3.1.2.1 id_token_hint


def test_a_hint_of_the_logged_in_person_passes_even_expired(house: ProviderHouse) -> None:
    hint = house.tokens().id_token
    house.pass_time(hours=2)
    house.log_in()
    assert "code" in answer_of(house.authorize(id_token_hint=hint, prompt="none"))


def test_a_hint_of_another_person_gives_no_positive_answer(house: ProviderHouse) -> None:
    """MUST NOT reply with an ID token for a different user."""
    hint = house.tokens().id_token
    house.log_in("person-2")
    house.consent("person-2")
    assert answer_of(house.authorize(id_token_hint=hint, prompt="none"))["error"] == "login_required"
    path = started(house, id_token_hint=hint)
    answer = finish(house, path, house.log_in("person-2"))
    assert answer["error"] == "login_required"
    assert "code" not in answer


def test_a_hint_that_is_not_ours_is_refused(house: ProviderHouse) -> None:
    own = house.tokens()
    stranger = TokenKeys(ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048))
    forged = stranger.sign(own.claims, SigningAlgorithm.ES256)
    header, payload, signature = own.id_token.split(".")
    altered = ".".join((header, payload[:-4] + "AAAA", signature))
    no_algorithm = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    unsigned = f"{no_algorithm}.{payload}."
    elsewhere = token_keys().sign({**own.claims, "iss": "https://other.example"}, SigningAlgorithm.ES256)
    for hint in (forged, altered, unsigned, elsewhere, "x", "x" * 20_000, "a.b.c"):
        response = house.authorize(id_token_hint=hint, prompt="none")
        if response.status_code == 303:
            assert answer_of(response)["error"] == "invalid_request"
        else:
            assert response.status_code == 400


def test_a_hint_for_another_client_is_refused(house: ProviderHouse) -> None:
    other = house.register("other")
    hint = house.tokens(client=other, client_id="other").id_token
    assert answer_of(house.authorize(id_token_hint=hint, prompt="none"))["error"] == "invalid_request"


# s5.5 claims


def test_claims_are_released_where_they_were_asked_for(house: ProviderHouse) -> None:
    """s5.5: id_token and userinfo"""
    asked = {"id_token": {"age_over_18": None}, "userinfo": {"national_id_last4": {"essential": True}}}
    house.log_in()
    house.consent(scope=("openid",), claims=("age_over_18", "national_id_last4"))
    tokens = Tokens(house.redeem(house.code(scope="openid", claims=json.dumps(asked))).json())
    assert tokens.claims["age_over_18"] is True
    assert "national_id_last4" not in tokens.claims
    assert house.userinfo(tokens.access_token).json() == {"sub": tokens.claims["sub"], "national_id_last4": "6789"}


def test_consent_is_asked_again_for_a_claim(house: ProviderHouse) -> None:
    house.log_in()
    house.consent(scope=("openid", "profile"))
    asked = json.dumps({"userinfo": {"national_id": None}})
    assert answer_of(house.authorize(claims=asked, prompt="none"))["error"] == "consent_required"
    covered = json.dumps({"userinfo": {"name": None}})
    assert "code" in answer_of(house.authorize(claims=covered, prompt="none"))


def test_a_claim_beyond_the_registered_scopes_is_never_released(house: ProviderHouse) -> None:
    small = house.register("small", scopes=("openid",))
    asked = json.dumps({"id_token": {"national_id": {"essential": True}}, "userinfo": {"name": None}})
    tokens = house.tokens(client=small, client_id="small", scope="openid", claims=asked)
    assert "national_id" not in tokens.claims
    assert set(house.userinfo(tokens.access_token).json()) == {"sub"}


def test_claims_not_understood_are_ignored(house: ProviderHouse) -> None:
    """s5.5: MUST be ignored."""
    asked = json.dumps({"verified": {"x": 1}, "userinfo": {"shoe_size": None, "zoneinfo": {"essential": True}}})
    assert "code" in answer_of(_with_login(house).authorize(claims=asked))


@pytest.mark.parametrize(
    "claims",
    [
        "[]",
        "{",
        '"x"',
        '{"userinfo":[]}',
        '{"userinfo":{"name":1}}',
        '{"id_token":{"acr":{"values":"x"}}}',
        '{"id_token":{"sub":{"value":1}}}',
        '{"userinfo":{},"userinfo":{}}',
        '{"userinfo":' + "[" * 30 + "]" * 30 + "}",
        '{"id_token":{"sub":{"values":["a","b"]}}}',
        "x" * 5_000,
    ],
)
def test_malformed_claims_are_refused(house: ProviderHouse, claims: str) -> None:
    assert answer_of(_with_login(house).authorize(claims=claims))["error"] == "invalid_request"
    assert house.count(authorization_grant) == 0


def test_a_sub_asked_for_by_value_is_kept(house: ProviderHouse) -> None:
    """s5.5.1, s3.1.2.2: MUST only send a positive response if that user is logged in."""
    right = house.provider.subjects.sub("rp.example", "person-1")
    _with_login(house)
    for sub, key in ((right, "code"), ("somebody-else", "error")):
        asked = json.dumps({"id_token": {"sub": {"value": sub}}})
        assert key in answer_of(house.authorize(claims=asked, prompt="none"))


def test_acr_values_that_are_met(house: ProviderHouse) -> None:
    _with_login(house)
    for values in ("urn:citizenid:loa:high", "urn:citizenid:loa:substantial", "urn:other", "urn:other urn:more"):
        assert "code" in answer_of(house.authorize(acr_values=values))


def test_a_weaker_session_does_not_meet_a_stronger_acr(house: ProviderHouse) -> None:
    house.log_in(acr="urn:citizenid:loa:substantial")
    house.consent()
    assert "code" in answer_of(house.authorize(prompt="none"))
    high = house.authorize(acr_values="urn:citizenid:loa:high", prompt="none")
    assert answer_of(high)["error"] == "login_required"


def test_an_essential_acr_that_cannot_be_met_is_an_error(house: ProviderHouse) -> None:
    """s5.5.1.1: MUST treat that outcome as a failed authentication attempt."""
    _with_login(house)
    asked = json.dumps({"id_token": {"acr": {"essential": True, "values": ["urn:other:9"]}}})
    assert answer_of(house.authorize(claims=asked))["error"] == "unmet_authentication_requirements"


# s6, s7 Request objects


@pytest.mark.parametrize("name", ["request", "request_uri", "registration"])
def test_request_objects_are_refused_by_their_own_errors(house: ProviderHouse, name: str) -> None:
    """s6.1, s6.2, s7.2.1: MUST return request_not_supported, request_uri_not_supported, registration_not_supported."""
    answer = answer_of(_with_login(house).authorize(**{name: "https://rp.example/r"}))
    assert answer["error"] == f"{name}_not_supported"


@pytest.mark.parametrize("mode", ["fragment", "form_post", "jwt"])
def test_other_response_modes_are_refused(house: ProviderHouse, mode: str) -> None:
    assert answer_of(_with_login(house).authorize(response_mode=mode))["error"] == "invalid_request"


# s5.3 UserInfo


def test_userinfo_by_get_and_post(house: ProviderHouse) -> None:
    """s5.3: MUST support GET and POST; s5.3.2: sub MUST always be returned and be the ID token's."""
    tokens = house.tokens()
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    got, posted = house.browser.get("/userinfo", headers=headers), house.browser.post("/userinfo", headers=headers)
    assert got.json() == posted.json()
    assert got.headers["content-type"] == "application/json"
    assert got.json() == {
        "sub": tokens.claims["sub"],
        "name": "王小明",
        "birthdate": "1990-02-28",
        "gender": "male",
    }


def test_each_scope_releases_its_claims(house: ProviderHouse) -> None:
    """s5.4 and this provider's own scopes"""
    expected: dict[str, dict[str, Any]] = {
        "age": {"age_over_18": True, "age_over_20": True, "age_over_65": False},
        "national_id": {"national_id": "A123456789"},
        "certificate": {"certificate": ["REVSIG9mIDc="], "certificate_serial": format(7, "040x")},
        "email": {},
        "phone": {},
    }
    for scope, claims in expected.items():
        tokens = house.tokens(scope=f"openid {scope}")
        assert house.userinfo(tokens.access_token).json() == {"sub": tokens.claims["sub"], **claims}


def test_the_national_id_is_decrypted_only_where_it_is_released(house: ProviderHouse) -> None:
    house.userinfo(house.tokens(scope="openid profile age certificate").access_token)
    assert house.persons.asked_national_ids == []


def test_revocation_says_what_the_status_check_rested_on(house: ProviderHouse) -> None:
    asked = json.dumps({"id_token": {"revocation": None}})
    house.log_in(status_source="database", status_age_s=3)
    house.consent(scope=("openid",), claims=("revocation",))
    tokens = Tokens(house.redeem(house.code(scope="openid", claims=asked)).json())
    assert tokens.claims["revocation"] == {"source": "database", "age": 3}


# s8 Subjects


def test_subjects_are_pairwise(house: ProviderHouse) -> None:
    """s8.1: not reversible, distinct by sector, stable; the sid cannot be linked either."""
    other = house.register("other", redirect_uris=("https://other.example/cb",))
    sibling = house.register("sibling", sector_identifier="rp.example")
    first = house.tokens().claims
    house.persons.known["person-1"] = house.persons.known["person-2"]
    second = house.tokens(client=sibling, client_id="sibling").claims
    session = house.log_in()
    house.consent(client_id="other")
    redirect = "https://other.example/cb"
    code = answer_of(house.authorize(client_id="other", redirect_uri=redirect), redirect)["code"]
    third = Tokens(house.redeem(code, client=other, redirect_uri=redirect).json()).claims
    assert first["sub"] == second["sub"] != third["sub"]
    assert len({first["sid"], second["sid"], third["sid"], session.id}) == 4
    assert len(first["sub"]) == 43
    assert "person" not in json.dumps([first, second, third])


# Sessions behind it all


def test_a_certificate_that_is_no_longer_good_gives_no_code(house: ProviderHouse) -> None:
    _with_login(house)
    house.certificates.bad.add(7)
    assert answer_of(house.authorize(prompt="none"))["error"] == "login_required"
    house.certificates.bad.clear()
    assert answer_of(house.authorize(prompt="none"))["error"] == "login_required", "that session has ended for good"


def test_a_certificate_revoked_in_between_gives_no_token_and_no_claims(house: ProviderHouse) -> None:
    code = house.code_at_once()
    house.certificates.bad.add(7)
    response = house.redeem(code)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    house.certificates.bad.clear()
    token = house.tokens().access_token
    house.certificates.bad.add(7)
    assert house.userinfo(token).status_code == 401


def test_consent_denied_is_access_denied(house: ProviderHouse) -> None:
    """s3.1.2.4, s3.1.2.6"""
    path = started(house)
    answer = finish(house, path, house.log_in(), allow=False)
    assert answer["error"] == "access_denied"
    assert house.count(authorization_grant) == 0
    assert ("consent.refused", "refused", {"error": "access_denied"}) in house.events()


def test_an_interaction_is_bound_to_its_browser(house: ProviderHouse) -> None:
    response = house.authorize()
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-citizenid-browser=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"))
    again = house.authorize()
    assert "set-cookie" not in again.headers, "two tabs share the browser's token"


def test_the_session_is_idle_or_old(house: ProviderHouse) -> None:
    _with_login(house)
    for _ in range(15):
        house.pass_time(minutes=29)
        assert "code" in answer_of(house.authorize(prompt="none"))
    house.pass_time(minutes=50)
    assert answer_of(house.authorize(prompt="none"))["error"] == "login_required"
    session = house.log_in()
    for _ in range(16):
        house.pass_time(minutes=29)
        answer_of(house.authorize(prompt="none"))
    house.clock.set(session.auth_time + timedelta(hours=8))
    assert answer_of(house.authorize(prompt="none"))["error"] == "login_required"


def _with_login(house: ProviderHouse) -> ProviderHouse:
    house.log_in()
    house.consent()
    return house


def _decode(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
