"""CSRF tokens, and where a request says it comes from."""

import pytest
from starlette.requests import Request

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.web.csrf import Csrf, CsrfRefused, verify_same_origin

ORIGIN = "https://login.example"


def request_with(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw})


def test_a_token_is_the_browsers_own() -> None:
    csrf = Csrf(b"s" * 32)
    token = csrf.token("browser-1")
    assert len(token) == 43
    csrf.verify("browser-1", token)
    with pytest.raises(CsrfRefused):
        csrf.verify("browser-2", token)
    with pytest.raises(CsrfRefused):
        Csrf(b"t" * 32).verify("browser-1", token)


@pytest.mark.parametrize(
    "browser, presented", [(None, "x"), ("", ""), ("browser-1", None), ("browser-1", ""), ("browser-1", "é")]
)
def test_nothing_is_no_token(browser: str | None, presented: str | None) -> None:
    with pytest.raises(CsrfRefused):
        Csrf(b"s" * 32).verify(browser, presented)


def test_the_token_of_no_browser_is_refused() -> None:
    csrf = Csrf(b"s" * 32)
    with pytest.raises(CsrfRefused):
        csrf.verify("", csrf.token(""))


def test_a_short_secret_stops_the_start() -> None:
    with pytest.raises(ConfigurationError):
        Csrf(b"s" * 31)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": ORIGIN},
        {"origin": ORIGIN, "sec_fetch_site": "same-origin"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": "null"},
        {"sec_fetch_site": "none"},
    ],
)
def test_our_own_pages_may_post(headers: dict[str, str]) -> None:
    verify_same_origin(request_with(**headers), ORIGIN)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://login.example"},
        {"origin": "https://login.example.evil.example"},
        {"origin": "https://LOGIN.example"},
        {"origin": ""},
        {"origin": "null", "sec_fetch_site": "cross-site"},
        {"origin": ORIGIN, "sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_other_pages_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(CsrfRefused):
        verify_same_origin(request_with(**headers), ORIGIN)
