"""OpenID Connect RP-Initiated Logout 1.0: one test a MUST."""

import re

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from idp.oauth.algorithms import SigningAlgorithm
from idp.provider_keys.service import TokenKeys
from support.openid_provider import AFTER_LOGOUT, BROWSER, ISSUER, ProviderHouse, answer_of

ORIGIN = {"Origin": ISSUER}


def is_logged_in(house: ProviderHouse) -> bool:
    return "code" in answer_of(house.authorize(prompt="none"))


def is_cleared(response: httpx2.Response) -> bool:
    return any(
        cookie.startswith("__Host-citizenid-session=;") and "Max-Age=0" in cookie
        for cookie in response.headers.get_list("set-cookie")
    )


def form_of(response: httpx2.Response) -> dict[str, str]:
    assert response.status_code == 200
    assert 'id="logout"' in response.text
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', response.text))


def test_a_hint_of_this_login_logs_out_and_returns(house: ProviderHouse) -> None:
    """s2, s3: state passed back, MUST redirect only to the registered URI."""
    hint = house.tokens().id_token
    assert is_logged_in(house)
    response = house.browser.get(
        "/logout", params={"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT, "state": "a b&c"}
    )
    assert response.status_code == 303
    assert response.headers["location"] == f"{AFTER_LOGOUT}?state=a%20b%26c"
    assert is_cleared(response)
    assert not is_logged_in(house)
    assert ("session.logged_out", "ok") in [event[:2] for event in house.events()]


def test_an_expired_hint_is_accepted(house: ProviderHouse) -> None:
    """s2: the OP SHOULD accept ID Tokens when the RP's exp time has passed."""
    hint = house.tokens().id_token
    house.pass_time(minutes=25)
    assert is_logged_in(house)
    assert is_cleared(house.browser.get("/logout", params={"id_token_hint": hint}))
    assert not is_logged_in(house)


def test_by_post(house: ProviderHouse) -> None:
    """s2: MUST support GET and POST."""
    hint = house.tokens().id_token
    house.set_cookie("browser", BROWSER)
    response = house.browser.post("/logout", data={"id_token_hint": hint, "client_id": "rp"})
    assert response.status_code == 200
    assert is_cleared(response)
    assert not is_logged_in(house)


def test_a_post_of_another_site_becomes_a_get(house: ProviderHouse) -> None:
    """Such a post brings no SameSite=Lax cookies, and would end nothing."""
    hint = house.tokens().id_token
    stranger = house.new_browser()
    response = stranger.post("/logout", data={"id_token_hint": hint})
    assert (response.status_code, response.headers["location"]) == (303, f"/logout?id_token_hint={hint}")


def test_access_tokens_end_with_the_login(house: ProviderHouse) -> None:
    tokens = house.tokens()
    house.browser.get("/logout", params={"id_token_hint": tokens.id_token})
    assert house.userinfo(tokens.access_token).status_code == 401


def test_a_code_that_was_not_redeemed_ends_with_the_login(house: ProviderHouse) -> None:
    hint = house.tokens().id_token
    code = house.code()
    house.browser.get("/logout", params={"id_token_hint": hint})
    assert house.redeem(code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "uri", [f"{AFTER_LOGOUT}/", f"{AFTER_LOGOUT}?x=1", "https://evil.example/", "https://rp.example/callback"]
)
def test_a_uri_that_is_not_registered_is_redirected_nowhere(house: ProviderHouse, uri: str) -> None:
    """s3: MUST NOT perform post-logout redirection."""
    hint = house.tokens().id_token
    response = house.browser.get("/logout", params={"id_token_hint": hint, "post_logout_redirect_uri": uri})
    assert response.status_code == 400
    assert "location" not in response.headers
    assert is_logged_in(house)


def test_a_client_id_that_contradicts_the_hint_is_refused(house: ProviderHouse) -> None:
    """s2: the OP MUST verify that the Client Identifier matches the one used when issuing the ID Token."""
    house.register("other")
    hint = house.tokens().id_token
    response = house.browser.get("/logout", params={"id_token_hint": hint, "client_id": "other"})
    assert response.status_code == 400
    assert is_logged_in(house)


def test_without_a_hint_the_person_is_asked(house: ProviderHouse) -> None:
    """s2: the OP MUST ask the End-User in that case."""
    house.tokens()
    page = house.browser.get("/logout", params={"client_id": "rp", "post_logout_redirect_uri": AFTER_LOGOUT})
    assert is_logged_in(house)
    fields = form_of(page)
    assert "報稅網站" in page.text
    done = house.browser.post("/logout/confirm", data=fields, headers=ORIGIN)
    assert (done.status_code, done.headers["location"]) == (303, AFTER_LOGOUT)
    assert is_cleared(done)
    assert not is_logged_in(house)


def test_the_confirmation_needs_our_own_form(house: ProviderHouse) -> None:
    house.tokens()
    fields = form_of(house.browser.get("/logout"))
    assert set(fields) == {"csrf_token"}
    for data, headers in (
        ({}, ORIGIN),
        ({"csrf_token": "x" * 43}, ORIGIN),
        (fields, {"Origin": "https://evil.example"}),
        (fields, {**ORIGIN, "Sec-Fetch-Site": "cross-site"}),
    ):
        assert house.browser.post("/logout/confirm", data=data, headers=headers).status_code == 403
        assert is_logged_in(house)
    assert house.browser.post("/logout/confirm", data=fields, headers=ORIGIN).status_code == 200
    assert not is_logged_in(house)


def test_the_confirmation_checks_the_uri_again(house: ProviderHouse) -> None:
    house.tokens()
    fields = form_of(house.browser.get("/logout", params={"client_id": "rp"}))
    for forged in ({"post_logout_redirect_uri": "https://evil.example/"}, {"client_id": "nobody"}):
        response = house.browser.post("/logout/confirm", data={**fields, **forged}, headers=ORIGIN)
        assert response.status_code == 400
        assert is_logged_in(house)


@pytest.mark.parametrize("kind", ["forged", "garbage", "of_another_login", "of_another_person"])
def test_a_hint_that_is_not_of_this_login_only_asks(house: ProviderHouse, kind: str) -> None:
    """s4: logout requests without a valid id_token_hint are a potential means of denial of service."""
    hint = house.tokens().id_token
    if kind == "forged":
        stranger = TokenKeys(ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048))
        hint = stranger.sign(house.tokens().claims, SigningAlgorithm.ES256)
    elif kind == "garbage":
        hint = "x.y.z"
    elif kind == "of_another_login":
        house.log_in()
    else:
        house.log_in("person-2")
        house.consent("person-2")
    page = house.browser.get("/logout", params={"id_token_hint": hint})
    form_of(page)
    assert not is_cleared(page)
    assert is_logged_in(house)


def test_an_unknown_client_is_refused(house: ProviderHouse) -> None:
    house.tokens()
    assert house.browser.get("/logout", params={"client_id": "nobody"}).status_code == 400


def test_a_uri_without_any_client_is_refused(house: ProviderHouse) -> None:
    """s3: only when the OP can tell whose URI it is."""
    assert house.browser.get("/logout", params={"post_logout_redirect_uri": AFTER_LOGOUT}).status_code == 400


def test_logged_out_already_with_a_hint_just_returns(house: ProviderHouse) -> None:
    hint = house.tokens().id_token
    asked = {"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT}
    for _ in range(2):
        assert house.browser.get("/logout", params=asked).headers["location"] == AFTER_LOGOUT


def test_a_repeated_parameter_is_refused(house: ProviderHouse) -> None:
    house.tokens()
    assert house.browser.get("/logout?client_id=rp&client_id=rp").status_code == 400
    assert is_logged_in(house)


def test_the_pages_exist_in_both_languages(house: ProviderHouse) -> None:
    house.tokens()
    assert "Log out?" in house.browser.get("/logout", headers={"Accept-Language": "en"}).text
    assert "要登出嗎？" in house.browser.get("/logout", headers={"Accept-Language": "zh-TW"}).text
    assert (
        "Logged out"
        in house.browser.post(
            "/logout/confirm",
            data=form_of(house.browser.get("/logout")),
            headers={**ORIGIN, "Accept-Language": "en"},
        ).text
    )
