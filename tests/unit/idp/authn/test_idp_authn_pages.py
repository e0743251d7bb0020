"""The login and consent pages and the card's calls, over ASGI and SQLite."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ca_core.kernel.database import Database
from ca_core.statement import LocalText
from ca_core.validation.errors import CertificateRefused, CertificateRevoked
from idp.authorize.model import ConsentNeeded, InteractionState
from idp.sessions.model import Session
from support.card_login import (
    BRIDGE,
    CALLBACK,
    CLIENT,
    ORIGIN,
    LoginHouse,
    Rows,
    call,
    csrf_token,
    login_app,
)
from support.fakes import FakeClock, SeededRng

HTML = {"accept": "text/html"}
NOTHING = Rows(sessions=0, evidence=0, redeemed=0)


@pytest.fixture
def house(sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[LoginHouse]:
    database = Database.open(sqlite_database_url)
    made = LoginHouse(database, clock, rng)
    made.interactions.begin()
    yield made
    database.dispose()


def json_headers(**more: str) -> dict[str, str]:
    return {"x-csrf-token": csrf_token(), "origin": ORIGIN, "accept": "application/json", **more}


def log_in(house: LoginHouse) -> tuple[Session, str]:
    login = house.service.authenticate(house.entry(), house.ca.card().token(house.challenge().challenge_nonce))
    assert isinstance(login.next, ConsentNeeded)
    return login.session, login.session_token


# The login page


def test_login_page_says_who_asks_what_for_and_what_is_shared(house: LoginHouse) -> None:
    page = call(login_app(house), "GET", "/interaction/interaction-1", headers=HTML)
    assert page.status_code == 200
    assert page.headers["content-language"] == "zh-TW"
    for shown in ("財政部 綜合所得稅申報", "查詢與申報您的所得", "專屬識別碼", "姓名", "出生日期", "性別"):
        assert shown in page.text
    assert f'name="csrf_token" value="{csrf_token()}"' in page.text
    assert page.headers["cache-control"] == "no-store"


def test_login_page_in_english(house: LoginHouse) -> None:
    page = call(login_app(house), "GET", "/interaction/interaction-1?lang=en", headers=HTML)
    assert '<html lang="en">' in page.text
    assert "Ministry of Finance: Income Tax Filing asks you to log in" in page.text
    assert "citizenid-lang-8000=en" in page.headers["set-cookie"]


def test_login_page_follows_the_relying_partys_ui_locales_but_the_persons_choice_first(house: LoginHouse) -> None:
    house.interactions.begin(ui_locales="fr en")
    app = login_app(house)
    assert call(app, "GET", "/interaction/interaction-1").headers["content-language"] == "en"
    chosen = {"cookie": "citizenid-lang-8000=zh-TW"}
    assert call(app, "GET", "/interaction/interaction-1", headers=chosen).headers["content-language"] == "zh-TW"


def test_login_page_may_call_the_bridge_and_nobody_else(house: LoginHouse) -> None:
    policy = call(login_app(house), "GET", "/interaction/interaction-1").headers["content-security-policy"]
    assert f"connect-src 'self' {BRIDGE};" in policy
    assert "default-src 'none';" in policy
    assert "form-action 'self' https:;" in policy
    assert "unsafe" not in policy


def test_login_page_has_no_inline_script_or_style(house: LoginHouse) -> None:
    text = call(login_app(house), "GET", "/interaction/interaction-1").text
    assert all(re.search(r'\bsrc="/assets/', tag) for tag in re.findall(r"<script[^>]*>", text))
    assert not re.findall(r"<style|\bstyle=|\bon[a-z]+=|javascript:", text)


def test_every_id_on_the_page_is_there_once(house: LoginHouse) -> None:
    ids = re.findall(r'\bid="([^"]+)"', call(login_app(house), "GET", "/interaction/interaction-1").text)
    assert len(ids) == len(set(ids))
    assert {"request-title", "purpose", "claims", "card-start", "card-code", "card-status", "cancel"} <= set(ids)


def test_a_relying_partys_name_is_text_not_markup(house: LoginHouse) -> None:
    house.clients.all["tax"] = replace(CLIENT, name=LocalText('<script>alert("1")</script>', "<b>x</b>"))
    text = call(login_app(house), "GET", "/interaction/interaction-1").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in text


@pytest.mark.parametrize(
    "path, browser, status, code",
    [
        ("/interaction/another", "b" * 43, 404, "interaction_not_found"),
        ("/interaction/interaction-1", "b" * 43, 403, "wrong_browser"),
        ("/interaction/interaction-1", None, 403, "wrong_browser"),
        ("/interaction/interaction-1/consent", None, 403, "wrong_browser"),
    ],
)
def test_pages_that_cannot_be_opened_say_why(
    house: LoginHouse, path: str, browser: str | None, status: int, code: str
) -> None:
    for lang, skip in (("zh-TW", "跳至主要內容"), ("en", "Skip to main content")):
        page = call(login_app(house), "GET", f"{path}?lang={lang}", browser=browser, headers=HTML)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert f'<code id="message-code">{code}</code>' in page.text
        assert skip in page.text


def test_an_expired_interaction_is_a_page(house: LoginHouse) -> None:
    house.clock.advance(601)
    page = call(login_app(house), "GET", "/interaction/interaction-1", headers=HTML)
    assert page.status_code == 410
    assert "登入逾時" in page.text


def test_an_interaction_with_a_login_goes_on_to_consent(house: LoginHouse) -> None:
    log_in(house)
    page = call(login_app(house), "GET", "/interaction/interaction-1")
    assert (page.status_code, page.headers["location"]) == (303, "/interaction/interaction-1/consent")


# Leaving


@pytest.mark.parametrize(
    "reason, description",
    [
        ("cancelled", "The citizen cancelled the login."),
        ("failed", "The citizen could not complete the login."),
        ("anything", "The citizen cancelled the login."),
    ],
)
def test_cancel_ends_at_the_relying_party(house: LoginHouse, reason: str, description: str) -> None:
    form = {"csrf_token": csrf_token(), "reason": reason}
    answer = call(login_app(house), "POST", "/interaction/interaction-1/cancel", form=form, headers={"origin": ORIGIN})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{CALLBACK}?error=access_denied")
    assert house.interactions.aborted == [("access_denied", description)]


@pytest.mark.parametrize(
    "form, headers",
    [
        ({}, {}),
        ({"csrf_token": csrf_token("b" * 43)}, {}),
        ({"csrf_token": csrf_token()}, {"origin": "https://evil.example"}),
        ({"csrf_token": csrf_token()}, {"sec-fetch-site": "cross-site"}),
    ],
)
def test_cancel_from_elsewhere_does_nothing(house: LoginHouse, form: dict[str, str], headers: dict[str, str]) -> None:
    answer = call(login_app(house), "POST", "/interaction/interaction-1/cancel", form=form, headers={**HTML, **headers})
    assert answer.status_code == 403
    assert "csrf_refused" in answer.text
    assert house.interactions.aborted == []


def test_cancel_with_a_field_given_twice_is_refused(house: LoginHouse) -> None:
    body = f"csrf_token={csrf_token()}&csrf_token={csrf_token()}".encode()
    assert call(login_app(house), "POST", "/interaction/interaction-1/cancel", content=body).status_code == 400
    assert house.interactions.aborted == []


# The card's calls


def test_the_whole_login_over_http(house: LoginHouse) -> None:
    app = login_app(house)
    challenge = call(app, "POST", "/interaction/interaction-1/card/challenge", json_body={}, headers=json_headers())
    assert challenge.status_code == 200
    asked = challenge.json()
    assert set(asked) == {"challenge_nonce", "statement", "code"}
    assert len(asked["challenge_nonce"]) == 44
    assert re.fullmatch("[0-9]{4}", asked["code"])

    token = house.ca.card().token(asked["challenge_nonce"])
    done = call(app, "POST", "/interaction/interaction-1/card", json_body={"auth_token": token}, headers=json_headers())
    assert done.json() == {"location": "/interaction/interaction-1/consent"}
    cookie = re.fullmatch(
        r"citizenid-session-8000=([A-Za-z0-9_-]{43}); Path=/; Secure; HttpOnly; SameSite=Lax",
        done.headers["set-cookie"],
    )
    assert cookie
    assert done.headers["cache-control"] == "no-store"
    assert house.sessions.find(cookie[1]) is not None


def test_a_refused_token_is_problem_details_in_the_pages_language(house: LoginHouse) -> None:
    app = login_app(house)
    call(app, "POST", "/interaction/interaction-1/card/challenge", json_body={}, headers=json_headers())
    token = house.ca.card().token("A" * 43 + "=")
    headers = json_headers(**{"accept-language": "en"})
    answer = call(app, "POST", "/interaction/interaction-1/card", json_body={"auth_token": token}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (403, "token_binding_mismatch")
    assert problem["title"] == "The signature is not for this login"
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("error, title", [(CertificateRevoked, "憑證已廢止"), (CertificateRefused, "憑證不被接受")])
def test_a_refused_certificate_has_its_own_words(
    house: LoginHouse, error: type[CertificateRefused], title: str
) -> None:
    app = login_app(house)
    call(app, "POST", "/interaction/interaction-1/card/challenge", json_body={}, headers=json_headers())
    card = house.ca.card()
    house.ca.refusals[card.certificate] = error
    body = {"auth_token": card.token("A" * 43 + "=")}
    answer = call(app, "POST", "/interaction/interaction-1/card", json_body=body, headers=json_headers())
    assert (answer.status_code, answer.json()["code"], answer.json()["title"]) == (403, error.code, title)


@pytest.mark.parametrize(
    "call_name, body", [("card/challenge", {}), ("card", {"auth_token": {}}), ("card/failure", {"code": "no_card"})]
)
@pytest.mark.parametrize("headers", [{}, {"x-csrf-token": "x"}, {"x-csrf-token": csrf_token("b" * 43)}])
def test_card_calls_without_this_browsers_csrf_token(
    house: LoginHouse, call_name: str, body: object, headers: dict[str, str]
) -> None:
    answer = call(login_app(house), "POST", f"/interaction/interaction-1/{call_name}", json_body=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_refused")
    assert (house.rows(), house.events()) == (NOTHING, [])


def test_card_calls_from_another_origin(house: LoginHouse) -> None:
    headers = json_headers() | {"origin": "http://127.0.0.1:8000"}
    answer = call(login_app(house), "POST", "/interaction/interaction-1/card/challenge", json_body={}, headers=headers)
    assert answer.json()["code"] == "csrf_refused"


@pytest.mark.parametrize(
    "content, status, code",
    [
        (b"", 400, "malformed_json"),
        (b"[]", 400, "malformed_json"),
        (b"{" * 50, 400, "malformed_json"),
        (b"{}", 400, "token_malformed"),
        (b'{"auth_token": null}', 400, "token_malformed"),
        (b'{"auth_token": {}}', 400, "token_malformed"),
        (json.dumps({"auth_token": {"format": "x" * 10_100}}).encode(), 413, "body_too_large"),
        (b'{"auth_token": {"format": "a", "format": "b"}}', 400, "malformed_json"),
    ],
)
def test_bodies_that_are_no_token(house: LoginHouse, content: bytes, status: int, code: str) -> None:
    app = login_app(house)
    call(app, "POST", "/interaction/interaction-1/card/challenge", json_body={}, headers=json_headers())
    answer = call(app, "POST", "/interaction/interaction-1/card", content=content, headers=json_headers())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert house.rows().sessions == 0


def test_the_longest_token_that_the_format_allows_is_read(house: LoginHouse) -> None:
    app = login_app(house)
    call(app, "POST", "/interaction/interaction-1/card/challenge", json_body={}, headers=json_headers())
    token = json.dumps({"format": "x" * (10_000 - 14)})
    body = f'{{"auth_token": {token}}}'.encode()
    answer = call(app, "POST", "/interaction/interaction-1/card", content=body, headers=json_headers())
    assert answer.json()["code"] == "token_malformed"


def test_a_reported_failure_gets_its_words(house: LoginHouse) -> None:
    app = login_app(house)
    body = {"code": "pin_incorrect", "tries_left": 2}
    path = "/interaction/interaction-1/card/failure"
    english = json_headers(**{"accept-language": "en"})
    assert call(app, "POST", path, json_body=body, headers=english).json() == {
        "title": "The PIN is wrong",
        "message": "Enter it again in the card program's window. Tries left before the card locks: 2.",
    }
    chinese = call(app, "POST", path, json_body=body, headers=json_headers()).json()
    assert (chinese["title"], "2 次" in chinese["message"]) == ("PIN 碼錯誤", True)
    refused = call(app, "POST", path, json_body={"code": "certificate_revoked"}, headers=json_headers())
    assert (refused.status_code, refused.json()["code"]) == (400, "report_refused")
    assert [name for name, _, _ in house.events()] == ["card_login.reported"] * 2


def test_the_bridge_fetches_the_statement_without_any_cookie(house: LoginHouse) -> None:
    signed = house.challenge()
    path = f"/interaction/statement/{urlsafe_b64encode(signed.digest).decode().rstrip('=')}"
    answer = call(login_app(house), "GET", path, browser=None)
    assert (answer.status_code, answer.text) == (200, signed.compact)
    assert answer.headers["content-type"] == "application/jwt"
    assert answer.headers["cache-control"] == "no-store"
    house.clock.advance(60)
    assert call(login_app(house), "GET", path, browser=None).status_code == 404


@pytest.mark.parametrize("digest", ["x", "A" * 43, "A" * 42 + "B", "A" * 44, "A" * 42 + "=", "é" * 43, "A" * 42 + "+"])
def test_statement_addresses_that_name_none(house: LoginHouse, digest: str) -> None:
    answer = call(login_app(house), "GET", f"/interaction/statement/{digest}", browser=None)
    assert (answer.status_code, answer.json()["code"]) == (404, "statement_not_found")


# Consent


def test_consent_page_lists_what_is_asked_and_what_it_means(house: LoginHouse) -> None:
    _, token = log_in(house)
    page = call(login_app(house), "GET", "/interaction/interaction-1/consent?lang=en", session=token, headers=HTML)
    assert page.status_code == 200
    assert '<form id="consent" method="post" action="/interaction/interaction-1/consent">' in page.text
    for decision in ("allow", "deny"):
        assert f'name="decision" value="{decision}"' in page.text
    assert "Date of birth" in page.text
    assert "Full year, month and day." in page.text


@pytest.mark.parametrize("decision, query", [("allow", "code=c"), ("deny", "error=access_denied")])
def test_decisions(house: LoginHouse, decision: str, query: str) -> None:
    _, token = log_in(house)
    form = {"csrf_token": csrf_token(), "decision": decision}
    answer = call(login_app(house), "POST", "/interaction/interaction-1/consent", form=form, session=token)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{CALLBACK}?{query}")


@pytest.mark.parametrize("form", [{}, {"decision": "maybe"}, {"decision": ""}])
def test_no_decision_is_no_consent(house: LoginHouse, form: dict[str, str]) -> None:
    _, token = log_in(house)
    form = form | {"csrf_token": csrf_token()}
    answer = call(login_app(house), "POST", "/interaction/interaction-1/consent", form=form, session=token)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_decision")
    assert house.interactions.live["interaction-1"].state is InteractionState.AUTHENTICATED


def test_consent_needs_the_csrf_token(house: LoginHouse) -> None:
    _, token = log_in(house)
    answer = call(
        login_app(house), "POST", "/interaction/interaction-1/consent", form={"decision": "allow"}, session=token
    )
    assert answer.json()["code"] == "csrf_refused"
    assert house.interactions.live["interaction-1"].state is InteractionState.AUTHENTICATED


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_consent_needs_the_login_of_this_interaction(house: LoginHouse, method: str) -> None:
    log_in(house)
    form = {"csrf_token": csrf_token(), "decision": "allow"} if method == "POST" else None
    for session in (None, "s" * 43):
        answer = call(login_app(house), method, "/interaction/interaction-1/consent", form=form, session=session)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_session")
    assert house.interactions.live["interaction-1"].state is InteractionState.AUTHENTICATED


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_consent_before_the_login_goes_back_to_it(house: LoginHouse, method: str) -> None:
    form = {"csrf_token": csrf_token(), "decision": "allow"} if method == "POST" else None
    answer = call(login_app(house), method, "/interaction/interaction-1/consent", form=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/interaction/interaction-1")
