"""Cookie names and attributes."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.web.cookies import CookieNames


def request_with(cookie: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", cookie.encode("latin-1"))]})


@pytest.mark.parametrize(
    "issuer, name",
    [
        ("https://login.example", "__Host-citizenid-session"),
        ("https://login.example:8443", "__Host-citizenid-session"),
        ("http://localhost:8000", "citizenid-session-8000"),
        ("http://localhost", "citizenid-session-80"),
        ("http://127.0.0.1:9000", "citizenid-session-9000"),
    ],
)
def test_names(issuer: str, name: str) -> None:
    assert CookieNames(issuer).name("session") == name


@pytest.mark.parametrize(
    "issuer", ["http://login.example", "http://localhost.evil.example", "ftp://localhost", "", "https://"]
)
def test_plain_http_is_for_the_loopback(issuer: str) -> None:
    with pytest.raises(ConfigurationError):
        CookieNames(issuer)


def test_a_cookie_is_out_of_reach_for_scripts_and_other_sites() -> None:
    response = Response()
    cookies = CookieNames("https://login.example")
    cookies.set_cookie(response, "session", "v" * 43)
    cookies.set_cookie(response, "lang", "zh-TW", 60)
    cookies.clear_cookie(response, "browser")
    attributes = "Path=/; Secure; HttpOnly; SameSite=Lax"
    assert response.headers.getlist("set-cookie") == [
        f"__Host-citizenid-session={'v' * 43}; {attributes}",
        f"__Host-citizenid-lang=zh-TW; {attributes}; Max-Age=60",
        f"__Host-citizenid-browser=; {attributes}; Max-Age=0",
    ]


@pytest.mark.parametrize("value", ["a;b", "a b", 'a"b', "a\r\nSet-Cookie: x", "é", "a," * 600])
def test_a_value_that_would_break_the_header_is_not_set(value: str) -> None:
    with pytest.raises(ValueError, match="not a cookie value"):
        CookieNames("https://login.example").set_cookie(Response(), "session", value)


@pytest.mark.parametrize(
    "header, value",
    [
        ("__Host-citizenid-session=abc", "abc"),
        ("a=b; __Host-citizenid-session=abc; c=d", "abc"),
        ("__Host-citizenid-session=", None),
        ("citizenid-session=abc", None),
        ('__Host-citizenid-session="a b"', None),
        ("__Host-citizenid-session=" + "a" * 1025, None),
        ("__Host-citizenid-session=\xff", None),
        ("", None),
    ],
)
def test_reading(header: str, value: str | None) -> None:
    assert CookieNames("https://login.example").read(request_with(header), "session") == value
