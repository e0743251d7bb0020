"""A card login from outside: the authorization request, the card's token from the bridge's command line, the code."""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2

from support.demo import BIN, Citizen, Demo
from support.processes import run
from support.scriptless import Page, ScriptlessBrowser

Token = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request as a relying party keeps it."""

    url: str
    redirect_uri: str
    state: str = ""
    nonce: str = ""
    code_verifier: str = ""


def _random(size_bytes: int = 32) -> str:
    return base64.urlsafe_b64encode(os.urandom(size_bytes)).rstrip(b"=").decode()


def metadata(demo: Demo) -> dict[str, Any]:
    answer = httpx2.get(f"{demo.issuer}/.well-known/openid-configuration")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def authorization_request(demo: Demo, **extra: str) -> AuthorizationRequest:
    """A request of the demo's first client."""
    client, verifier = demo.client(), _random()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    state, nonce = _random(16), _random(16)
    query = {
        "response_type": "code",
        "client_id": client["client_id"],
        "redirect_uri": client["redirect_uris"][0],
        "scope": "openid profile",
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **extra,
    }
    url = f"{metadata(demo)['authorization_endpoint']}?{urlencode(query)}"
    redirect_uri = query["redirect_uri"]
    return AuthorizationRequest(url=url, redirect_uri=redirect_uri, state=state, nonce=nonce, code_verifier=verifier)


def challenge(browser: ScriptlessBrowser, page: Page) -> dict[str, Any]:
    """What the card is to sign for this login page."""
    answer = browser.call(page, f"{page.url.rstrip('/')}/card/challenge", {}, csrf_token=csrf_token(page))
    assert answer.status == 200, answer.text
    return answer.json()


def csrf_token(page: Page) -> str:
    return page.form("cancel").fields["csrf_token"]


def present(browser: ScriptlessBrowser, page: Page, token: Token) -> Page:
    """Hands a card's token in for this login page."""
    body = {"auth_token": token}
    return browser.call(page, f"{page.url.rstrip('/')}/card", body, csrf_token=csrf_token(page))


def sign_with_card(demo: Demo, citizen: Citizen, origin: str, asked: dict[str, Any]) -> Token:
    """The Web eID token that `card-bridge authenticate` prints. Raises AssertionError when the bridge refuses."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        askpass, statement = folder / "askpass", folder / "statement"
        askpass.write_text(f"#!/bin/sh\nprintf '%s\\n' '{citizen.pin}'\n")
        askpass.chmod(0o700)
        statement.write_text(asked["statement"])
        command = [BIN / "card-bridge", "authenticate", "--data", demo.bridge_data]
        command += ["--card", citizen.card_number, "--origin", origin, "--nonce", asked["challenge_nonce"]]
        printed = run([*command, "--statement", statement, "--askpass", askpass]).stdout
    token: Token = json.loads(printed)
    return token


def log_in(
    demo: Demo,
    request: AuthorizationRequest,
    browser: ScriptlessBrowser,
    *,
    citizen: Citizen | None = None,
    alter: Callable[[Token], Token] = lambda token: token,
) -> str:
    """The whole journey of a citizen without script; returns the callback's address.

    Raises AssertionError, with the answer, where the token is refused.
    """
    page = browser.open(request.url, until=request.redirect_uri)
    if page.url.startswith(request.redirect_uri):
        return page.url
    token = sign_with_card(demo, citizen or demo.citizens[0], page.origin, challenge(browser, page))
    answer = present(browser, page, alter(token))
    assert answer.status == 200, answer.text
    page = browser.open(urljoin(page.url, answer.json()["location"]), until=request.redirect_uri)
    if page.url.startswith(request.redirect_uri):
        return page.url
    return browser.submit(page, page.form("consent"), until=request.redirect_uri, decision="allow").url


def callback_query(callback: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}


def exchange(demo: Demo, request: AuthorizationRequest, callback: str) -> dict[str, Any]:
    """The token endpoint's answer to the callback's code."""
    client = demo.client()
    answer = httpx2.post(
        metadata(demo)["token_endpoint"],
        data={
            "grant_type": "authorization_code",
            "code": callback_query(callback)["code"],
            "redirect_uri": request.redirect_uri,
            "code_verifier": request.code_verifier,
        },
        auth=(client["client_id"], client["client_secret"]),
    )
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens
