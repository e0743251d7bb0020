"""Tokens that are not what the citizen signed for this login: each is refused, and no code is given."""

import base64
from collections.abc import Callable

import pytest

from support.demo import Demo
from support.outside_login import (
    Token,
    authorization_request,
    callback_query,
    challenge,
    exchange,
    log_in,
    present,
    sign_with_card,
)
from support.scriptless import Page, ScriptlessBrowser


def _forged_signature(token: Token) -> Token:
    octets = bytearray(base64.b64decode(token["signature"]))
    octets[20] ^= 1
    return {**token, "signature": base64.b64encode(octets).decode()}


def _other_algorithm(token: Token) -> Token:
    return {**token, "algorithm": "ES384" if token["algorithm"] != "ES384" else "ES256"}


def _cut_certificate(token: Token) -> Token:
    der = base64.b64decode(token["unverifiedCertificate"])
    return {**token, "unverifiedCertificate": base64.b64encode(der[:-1]).decode()}


def _login_page(demo: Demo, browser: ScriptlessBrowser) -> Page:
    request = authorization_request(demo)
    return browser.open(request.url, until=request.redirect_uri)


def _refused(answer: Page) -> str:
    assert 400 <= answer.status < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["title"]
    return str(problem["code"])


def test_without_script_a_citizen_logs_in(demo: Demo, scriptless: ScriptlessBrowser) -> None:
    request = authorization_request(demo)
    callback = log_in(demo, request, scriptless)
    assert callback_query(callback)["state"] == request.state
    assert exchange(demo, request, callback)["token_type"] == "Bearer"


@pytest.mark.parametrize("alter", [_forged_signature, _other_algorithm, _cut_certificate])
def test_an_altered_token(demo: Demo, scriptless: ScriptlessBrowser, alter: Callable[[Token], Token]) -> None:
    page = _login_page(demo, scriptless)
    token = sign_with_card(demo, demo.citizens[0], page.origin, challenge(scriptless, page))
    _refused(present(scriptless, page, alter(token)))
    assert scriptless.request("GET", f"{page.url}/consent").status != 200


def test_a_token_for_another_session(demo: Demo, scriptless: ScriptlessBrowser) -> None:
    mine = _login_page(demo, scriptless)
    token = sign_with_card(demo, demo.citizens[0], mine.origin, challenge(scriptless, mine))
    with ScriptlessBrowser() as other:
        theirs = _login_page(demo, other)
        challenge(other, theirs)
        _refused(present(other, theirs, token))


def test_a_token_for_an_older_challenge_and_a_replay(demo: Demo, scriptless: ScriptlessBrowser) -> None:
    page = _login_page(demo, scriptless)
    older = sign_with_card(demo, demo.citizens[0], page.origin, challenge(scriptless, page))
    newer = sign_with_card(demo, demo.citizens[0], page.origin, challenge(scriptless, page))
    answers = [present(scriptless, page, token) for token in (newer, newer, older)]
    assert answers[0].status == 200, answers[0].text
    for answer in answers[1:]:
        _refused(answer)


def test_the_bridge_refuses_an_altered_statement(demo: Demo, scriptless: ScriptlessBrowser) -> None:
    page = _login_page(demo, scriptless)
    asked = challenge(scriptless, page)
    head, payload, signature = asked["statement"].split(".")
    altered = payload[:-3] + ("A" if payload[-3] != "A" else "B") + payload[-2:]
    with pytest.raises(AssertionError, match=r"card-bridge.*exit 1"):
        sign_with_card(demo, demo.citizens[0], page.origin, {**asked, "statement": f"{head}.{altered}.{signature}"})


def test_the_bridge_refuses_a_page_that_it_does_not_know(demo: Demo, scriptless: ScriptlessBrowser) -> None:
    page = _login_page(demo, scriptless)
    asked = challenge(scriptless, page)
    headers = {"Origin": "http://localhost:1", "X-Card-Bridge": "1"}
    answer = scriptless.request("POST", f"{demo.bridge}/v1/authenticate", body=asked, headers=headers)
    assert answer.status == 403
    assert answer.json()["code"] == "origin_not_allowed"


def test_another_browser_cannot_take_a_login_over(demo: Demo, scriptless: ScriptlessBrowser) -> None:
    page = _login_page(demo, scriptless)
    with ScriptlessBrowser() as other:
        assert other.request("GET", page.url).status >= 400
        asked = other.call(page, f"{page.url}/card/challenge", {}, csrf_token=page.form("cancel").fields["csrf_token"])
        assert asked.status >= 400
