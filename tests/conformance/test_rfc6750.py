"""RFC 6750, bearer tokens at UserInfo: one test a MUST."""

import pytest

from support.openid_provider import ProviderHouse


def test_no_authentication_is_challenged_without_an_error_code(house: ProviderHouse) -> None:
    """s3: MUST include WWW-Authenticate; s3.1: SHOULD NOT include an error code."""
    for headers in ({}, {"Authorization": "Basic cnA6c2VjcmV0"}, {"Authorization": "DPoP abc"}):
        response = house.browser.get("/userinfo", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert "error" not in response.headers["www-authenticate"]
        assert response.content == b""


@pytest.mark.parametrize("token", ["nothing", "x" * 43, "x" * 2_000, "~" * 43])
def test_an_unknown_token_is_invalid(house: ProviderHouse, token: str) -> None:
    """s3.1: invalid_token, 401."""
    response = house.userinfo(token)
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert response.json()["error"] == "invalid_token"


def test_an_expired_token_is_invalid(house: ProviderHouse) -> None:
    """s3.1; s5.3: short-lived."""
    token = house.tokens().access_token
    house.pass_time(seconds=599)
    assert house.userinfo(token).status_code == 200
    house.pass_time(seconds=1)
    assert house.userinfo(token).status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", 'Bearer "abc"', "Bearer =abc"])
def test_a_malformed_header_is_an_invalid_request(house: ProviderHouse, header: str) -> None:
    """s2.1, s3.1: invalid_request, 400."""
    response = house.browser.get("/userinfo", headers={"Authorization": header})
    assert response.status_code == 400
    assert 'error="invalid_request"' in response.headers["www-authenticate"]


def test_the_scheme_is_case_insensitive(house: ProviderHouse) -> None:
    """RFC 9110 s11.1"""
    token = house.tokens().access_token
    assert house.browser.get("/userinfo", headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_a_token_in_the_query_is_refused(house: ProviderHouse) -> None:
    """s2.3 SHOULD NOT be used; RFC 9700 s4.3.2."""
    token = house.tokens().access_token
    response = house.browser.get(f"/userinfo?access_token={token}")
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"


def test_more_than_one_way_of_sending_it_is_refused(house: ProviderHouse) -> None:
    """s2: MUST NOT use more than one method."""
    token = house.tokens().access_token
    both = house.browser.post("/userinfo", data={"access_token": token}, headers={"Authorization": f"Bearer {token}"})
    assert both.status_code == 400
    twice = house.browser.get(
        "/userinfo", headers=[("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    )
    assert twice.status_code == 400


def test_a_token_in_a_body_alone_is_refused(house: ProviderHouse) -> None:
    token = house.tokens().access_token
    assert house.browser.post("/userinfo", data={"access_token": token}).status_code == 400


def test_claims_are_not_cached(house: ProviderHouse) -> None:
    """s5.3"""
    assert house.userinfo(house.tokens().access_token).headers["cache-control"] == "no-store"
