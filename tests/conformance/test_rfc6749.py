"""RFC 6749, the OAuth 2.0 framework, as RFC 9700 tightens it: one test a MUST."""

import pytest

from idp.authorize.store import interaction
from idp.token.store import authorization_grant
from support.openid_provider import CALLBACK, CHALLENGE, VERIFIER, ProviderHouse, answer_of, basic, query

# s3.1 The authorization endpoint


def test_get_and_post_are_both_understood(house: ProviderHouse) -> None:
    """s3.1: MUST support GET, and MAY support POST; Core s3.1.2.1 demands both."""
    house.log_in()
    house.consent()
    house.set_cookie("browser", "b" * 43)
    got = answer_of(house.authorize())
    posted = answer_of(house.browser.post("/authorize", data=house.parameters()))
    assert got["code"] != posted["code"]


def test_a_post_without_cookies_becomes_a_get_that_has_them(house: ProviderHouse) -> None:
    """A post made by another site brings no SameSite=Lax cookies, and so cannot see the live session."""
    answer = house.browser.post("/authorize", data=house.parameters(state="a b&c"))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/authorize?")
    house.log_in()
    house.consent()
    assert answer_of(house.browser.get(answer.headers["location"]))["state"] == "a b&c"


def test_a_parameter_without_a_value_counts_as_omitted(house: ProviderHouse) -> None:
    """s3.1"""
    house.log_in()
    house.consent()
    assert "code" in answer_of(house.authorize(prompt="", max_age="", nonce=""))


def test_an_unknown_parameter_is_ignored(house: ProviderHouse) -> None:
    """s3.1"""
    house.log_in()
    house.consent()
    assert "code" in answer_of(house.authorize(resource_hint="x", login_hint="A123456789", display="popup"))


@pytest.mark.parametrize("name", ["scope", "nonce", "response_type", "code_challenge", "prompt"])
def test_a_repeated_parameter_is_refused_at_the_client(house: ProviderHouse, name: str) -> None:
    """s3.1: request parameters MUST NOT be included more than once."""
    house.log_in()
    house.consent()
    asked = query(house.parameters(prompt="login")) + f"&{name}=openid"
    answer = answer_of(house.browser.get(f"/authorize?{asked}"))
    assert answer["error"] == "invalid_request"
    assert answer["state"] == "state-1"
    assert house.count(authorization_grant) == 0


def test_a_repeated_state_is_not_echoed(house: ProviderHouse) -> None:
    answer = answer_of(house.browser.get(f"/authorize?{query(house.parameters())}&state=two"))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_client_id_or_redirect_uri_is_redirected_nowhere(house: ProviderHouse, name: str) -> None:
    """s4.1.2.1"""
    response = house.browser.get(f"/authorize?{query(house.parameters())}&{name}=x")
    assert response.status_code == 400
    assert "location" not in response.headers
    assert house.count(interaction) == 0


# s3.1.2 The redirection endpoint


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "https://rp.example/callback/",
        "https://rp.example/callback?x=1",
        "https://rp.example/Callback",
        "https://RP.example/callback",
        "https://rp.example:443/callback",
        "https://rp.example/callback#",
        "https://rp.example/callback/../callback",
        "https://rp.example.evil.example/callback",
        "https://rp.example@evil.example/callback",
        "http://rp.example/callback",
        "https://evil.example/",
        " https://rp.example/callback",
        "javascript:alert(1)",
    ],
)
def test_a_redirect_uri_that_is_not_registered_is_shown_and_redirected_nowhere(
    house: ProviderHouse, redirect_uri: str | None
) -> None:
    """s3.1.2.4, s4.1.2.1; RFC 9700 s2.1: exact comparison."""
    house.log_in()
    house.consent()
    response = house.authorize(redirect_uri=redirect_uri)
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "redirect_uri_refused" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert house.count(interaction) == house.count(authorization_grant) == 0


@pytest.mark.parametrize("client_id", [None, "", "nobody", "rp ", "rp\t", "x" * 5_000, "RP"])
def test_an_unknown_client_is_shown_and_redirected_nowhere(house: ProviderHouse, client_id: str | None) -> None:
    """s4.1.2.1"""
    response = house.authorize(client_id=client_id)
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "unknown_client" in response.text
    assert house.count(interaction) == 0


def test_what_cannot_be_read_at_all_is_shown_and_redirected_nowhere(house: ProviderHouse) -> None:
    for asked in ("client_id=rp&redirect_uri=%FF", f"{query(house.parameters())}&x=%00", "&".join(["a=b"] * 100)):
        response = house.browser.get(f"/authorize?{asked}")
        assert response.status_code == 400
        assert "location" not in response.headers
        assert "unreadable_request" in response.text


def test_a_query_in_the_redirect_uri_is_kept(house: ProviderHouse) -> None:
    """s3.1.2: which MUST be retained."""
    uri = "https://rp.example/callback?tenant=7"
    house.register("other", redirect_uris=(uri,))
    answer = answer_of(house.authorize(client_id="other", redirect_uri=uri, prompt="none"), uri)
    assert answer["tenant"] == "7"
    assert answer["error"] == "login_required"


# s3.1.1, s3.3, s4.1.1: response_type, scope


@pytest.mark.parametrize("response_type", ["token", "id_token", "code id_token", "code token", "CODE", "none"])
def test_other_response_types_are_refused(house: ProviderHouse, response_type: str) -> None:
    """s3.1.1; RFC 9700 s2.1.2"""
    answer = answer_of(house.authorize(response_type=response_type))
    assert answer["error"] == "unsupported_response_type"


def test_a_missing_response_type_is_refused(house: ProviderHouse) -> None:
    """s3.1.1"""
    assert answer_of(house.authorize(response_type=None))["error"] == "invalid_request"


def test_a_scope_that_the_client_may_not_ask_for_is_refused(house: ProviderHouse) -> None:
    """s3.3"""
    house.register("small", scopes=("openid",))
    answer = answer_of(house.authorize(client_id="small", scope="openid national_id"))
    assert answer["error"] == "invalid_scope"


@pytest.mark.parametrize("scope", [None, "", "profile", "openid  profile", 'openid "x"', "openid\tprofile"])
def test_a_malformed_or_missing_scope_is_refused(house: ProviderHouse, scope: str | None) -> None:
    """s3.3"""
    assert answer_of(house.authorize(scope=scope))["error"] == "invalid_scope"


def test_scope_is_told_when_it_is_not_what_was_asked(house: ProviderHouse) -> None:
    """s3.3, s5.1: the authorization server MUST include the scope when it differs."""
    tokens = house.tokens(scope="profile openid offline_access")
    assert tokens.body["scope"] == "openid profile"


# s4.1.2 The authorization response


def test_state_comes_back_as_it_was_sent(house: ProviderHouse) -> None:
    """s4.1.2: REQUIRED if present in the request."""
    house.log_in()
    house.consent()
    for state in ("x", "a+b c%20&=#", "~" * 1_024):
        assert answer_of(house.authorize(state=state))["state"] == state
    assert "state" not in answer_of(house.authorize(state=None))


@pytest.mark.parametrize("state", ["\u8eab", "a\nb", "x" * 1_025])
def test_a_state_outside_its_grammar_is_refused_and_not_echoed(house: ProviderHouse, state: str) -> None:
    """appendix A.5"""
    answer = answer_of(house.authorize(state=state))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer


def test_the_answer_is_not_cached_and_not_a_307(house: ProviderHouse) -> None:
    """RFC 9700 s4.12: 303, so that no browser posts credentials on."""
    house.log_in()
    house.consent()
    response = house.authorize()
    assert response.status_code == 303
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_a_code_lives_for_a_minute(house: ProviderHouse) -> None:
    """s4.1.2: MUST expire shortly; at most 10 minutes."""
    code = house.code_at_once()
    house.pass_time(seconds=60)
    response = house.redeem(code)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert house.live_tokens() == 0


def test_a_code_is_not_stored_but_its_hash(house: ProviderHouse) -> None:
    """RFC 9700 s4.2, house rule: only hashes."""
    code = house.code_at_once()
    token = house.redeem(code).json()["access_token"]
    dumped = b""
    with house.database.read() as tx:
        connection = tx._connection
        dumped = "\n".join(connection.iterdump()).encode()
    assert code.encode() not in dumped
    assert token.encode() not in dumped


def test_a_second_use_is_refused_and_ends_the_tokens_of_the_first(house: ProviderHouse) -> None:
    """s4.1.2: MUST deny the request and SHOULD revoke all tokens."""
    code = house.code_at_once()
    first = house.redeem(code).json()
    assert house.userinfo(first["access_token"]).status_code == 200
    second = house.redeem(code)
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    refused = house.userinfo(first["access_token"])
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert ("code.replayed", "refused", {"revoked_token": True}) in house.events()
    assert "code" in answer_of(house.authorize()), "the login itself stands"


def test_another_client_can_neither_use_nor_spend_a_code(house: ProviderHouse) -> None:
    """s4.1.2: bound to the client identifier."""
    other = house.register("other")
    code = house.code_at_once()
    stolen = house.redeem(code, client=other)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert house.redeem(code).status_code == 200
    again = house.redeem(code, client=other)
    assert again.json()["error"] == "invalid_grant"
    with house.database.read() as tx:
        assert len(house.audit.recent(tx)) > 0
    assert all(name != "code.replayed" for name, _, _ in house.events()), "no way to log others out"


# s4.1.3 The token request


@pytest.mark.parametrize("redirect_uri", ["https://rp.example/other", "https://rp.example/callback/"])
def test_the_token_request_repeats_the_redirect_uri(house: ProviderHouse, redirect_uri: str) -> None:
    """s4.1.3: their values MUST be identical. The code is spent by the attempt."""
    house.register("two", redirect_uris=(CALLBACK, "https://rp.example/other"))
    code = house.code_at_once()
    response = house.redeem(code, redirect_uri=redirect_uri)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert house.redeem(code).json()["error"] == "invalid_grant"
    assert house.live_tokens() == 0


@pytest.mark.parametrize("name", ["grant_type", "code", "redirect_uri", "code_verifier"])
def test_a_missing_parameter_is_an_invalid_request_and_spends_nothing(house: ProviderHouse, name: str) -> None:
    """s4.1.3, s5.2"""
    code = house.code_at_once()
    response = house.redeem(code, **{name: None})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert house.redeem(code).status_code == 200


@pytest.mark.parametrize("grant_type", ["password", "client_credentials", "refresh_token", "implicit"])
def test_other_grants_are_refused(house: ProviderHouse, grant_type: str) -> None:
    """s5.2; RFC 9700 s2.4: the password grant MUST NOT be used."""
    response = house.redeem("c" * 43, grant_type=grant_type)
    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


def test_a_repeated_field_is_refused(house: ProviderHouse) -> None:
    """s3.2: parameters MUST NOT be included more than once."""
    body = f"grant_type=authorization_code&code=a&code=b&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
    response = house.browser.post(
        "/token",
        content=body,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": basic("rp", house.rp.client_secret or ""),
        },
    )
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_the_token_endpoint_takes_posts_of_forms_alone(house: ProviderHouse) -> None:
    """s3.2: MUST use POST."""
    assert house.browser.get("/token").status_code == 405
    response = house.browser.post("/token", json={"grant_type": "authorization_code"})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_credentials_in_the_query_are_not_looked_at(house: ProviderHouse) -> None:
    """s2.3.1: MUST NOT be included in the request URI."""
    response = house.browser.post(
        f"/token?client_id=rp&client_secret={house.rp.client_secret}", data={"grant_type": "authorization_code"}
    )
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


# s2.3 Client authentication, s5.2


def test_a_wrong_secret_in_basic_is_challenged(house: ProviderHouse) -> None:
    """s5.2: MUST respond with 401 and the WWW-Authenticate of the scheme used."""
    code = house.code_at_once()
    response = house.redeem(code, headers={"Authorization": basic("rp", "wrong")})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert response.headers["www-authenticate"].startswith("Basic ")
    assert house.redeem(code).status_code == 200, "the code is not spent"


def test_more_than_one_method_is_refused(house: ProviderHouse) -> None:
    """s2.3: MUST NOT use more than one authentication method in each request."""
    response = house.redeem("c" * 43, client_secret=house.rp.client_secret)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_only_the_registered_method_is_accepted(house: ProviderHouse) -> None:
    code = house.code_at_once()
    posted = house.redeem(code, headers={}, client_id="rp", client_secret=house.rp.client_secret)
    assert (posted.status_code, posted.json()["error"]) == (401, "invalid_client")
    public = house.redeem(code, headers={}, client_id="rp")
    assert (public.status_code, public.json()["error"]) == (401, "invalid_client")


def test_basic_credentials_are_form_urlencoded_inside(house: ProviderHouse) -> None:
    """s2.3.1"""
    strange = house.register("a~b.c-d_e")
    code = house.code_at_once(client_id="a~b.c-d_e")
    assert house.redeem(code, client=strange).status_code == 200


def test_a_public_client_names_itself(house: ProviderHouse) -> None:
    """s3.2.1: MUST send its client_id."""
    public = house.register_public()
    code = house.code_at_once(client_id="public")
    assert house.redeem(code, client=public, client_id=None).json()["error"] == "invalid_client"
    assert house.redeem(code, client=public).status_code == 200


# s5.1 The successful answer


def test_the_answer_is_json_that_nobody_caches(house: ProviderHouse) -> None:
    """s5.1: MUST include Cache-Control: no-store and Pragma: no-cache."""
    response = house.redeem(house.code_at_once())
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    body = response.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert set(body) == {"access_token", "token_type", "expires_in", "id_token", "scope"}


def test_no_refresh_token_without_being_asked(house: ProviderHouse) -> None:
    assert "refresh_token" not in house.tokens().body


def test_errors_are_not_cached_either(house: ProviderHouse) -> None:
    response = house.redeem("c" * 43)
    assert response.headers["cache-control"] == "no-store"


# s10.12, s4.1.1: what protects the flow


def test_the_code_challenge_is_part_of_every_good_request(house: ProviderHouse) -> None:
    """RFC 9700 s2.1.1: authorization servers MUST support PKCE; here no client goes without."""
    assert answer_of(house.authorize(code_challenge=None))["error"] == "invalid_request"
    assert CHALLENGE == house.parameters()["code_challenge"]
