"""What a registration must keep, and which redirect URIs a client may use."""

from dataclasses import replace

import pytest

from ca_core.statement import LocalText
from idp.clients.model import ApplicationType, ClientRegistration, registration_faults, sector_identifier_of

GOOD = ClientRegistration(
    name=LocalText("報稅網站", "Tax site"),
    purpose=LocalText("登入報稅", "Log in to file taxes"),
    redirect_uris=("https://rp.example/callback",),
)
NATIVE = replace(GOOD, application_type=ApplicationType.NATIVE)


def test_a_good_registration_has_no_fault() -> None:
    assert registration_faults(GOOD) == ()
    assert sector_identifier_of(GOOD) == "rp.example"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "//rp.example/callback",
        "http://rp.example/callback",
        "http://localhost.evil.example/",
        "https://",
        "https:///callback",
        "https://rp.example/#",
        "https://rp.example/#fragment",
        "https://*.rp.example/callback",
        "https://user@rp.example/",
        "https://user:pw@rp.example/",
        "https://rp.example:99999/",
        "https://rp.example/a b",
        "https://rp.example/\n",
        "https://rp.example/\u8eab",
        "https://rp.example\\@evil.example/",
        "https://[::1/",
        "javascript:alert(1)",
        "data:text/html,x",
        "com.example.app:/callback",
        "https://rp.example/" + "x" * 2_000,
    ],
)
def test_redirect_uris_that_nobody_may_register(uri: str) -> None:
    assert registration_faults(replace(GOOD, redirect_uris=(uri,)))
    assert registration_faults(replace(GOOD, post_logout_redirect_uris=(uri,)))


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:3000/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:8080/callback",
        "https://rp.example:8443/callback?tenant=1",
    ],
)
def test_redirect_uris_that_are_fine(uri: str) -> None:
    assert registration_faults(replace(GOOD, redirect_uris=(uri,))) == ()


def test_a_native_client_may_have_a_scheme_with_a_dot() -> None:
    """RFC 8252 s7.1: a scheme without one could be anybody's."""
    assert registration_faults(replace(NATIVE, redirect_uris=("com.example.app:/callback",))) == ()
    assert registration_faults(replace(NATIVE, redirect_uris=("myapp:/callback",)))
    assert sector_identifier_of(replace(NATIVE, redirect_uris=("com.example.app:/callback",))) == "com.example.app"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""},
        {"client_id": "a b"},
        {"client_id": "x" * 65},
        {"client_id": "用戶"},
        {"name": LocalText("", "Tax site")},
        {"name": LocalText("報稅網站", " ")},
        {"name": LocalText("報稅\u202e網站", "Tax site")},
        {"purpose": LocalText("登入", "x" * 201)},
        {"redirect_uris": ()},
        {"redirect_uris": tuple(f"https://rp.example/{n}" for n in range(21))},
        {"scopes": ("profile",)},
        {"scopes": ("openid", "everything")},
        {"sector_identifier": "RP.example"},
        {"sector_identifier": "https://rp.example"},
        {"redirect_uris": ("https://a.example/", "https://b.example/")},
    ],
)
def test_other_faults(changes: dict[str, object]) -> None:
    assert registration_faults(replace(GOOD, **changes))  # type: ignore[arg-type] # replace checks the names


def test_all_faults_are_told_at_once() -> None:
    bad = replace(GOOD, client_id="?", scopes=(), redirect_uris=("ftp://x/", "https://y/#z"))
    assert len(registration_faults(bad)) == 4


def test_several_hosts_need_a_sector_identifier() -> None:
    """OpenID Connect Core s8.1"""
    hosts = replace(GOOD, redirect_uris=("https://a.example/", "https://b.example/"), sector_identifier="a.example")
    assert registration_faults(hosts) == ()
    assert sector_identifier_of(hosts) == "a.example"
