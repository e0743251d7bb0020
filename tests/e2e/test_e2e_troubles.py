"""What goes wrong at the card ends in its own message, in both languages, and the person can go on from it."""

import re

import pytest
from playwright.sync_api import Page, expect

from support.demo import Demo
from support.e2e_types import OpenPage
from support.journey import card_error, enter_pin, start_card, to_login_page
from support.outside_login import callback_query

WRONG_PIN = "00000000"


def _login_page(demo: Demo, open_page: OpenPage, language: str) -> Page:
    page = open_page(demo.relying_party, language=language)
    to_login_page(page)
    return page


def test_a_wrong_pin_shows_the_tries_left(demo: Demo, open_page: OpenPage, language: str) -> None:
    page = _login_page(demo, open_page, language)
    window = start_card(page)
    before = int(window.locator("#tries").get_attribute("data-tries") or "0")
    enter_pin(window, WRONG_PIN)
    expect(window.locator("#notice")).to_have_attribute("data-code", "pin_incorrect")
    expect(window.locator("#tries")).to_have_attribute("data-tries", str(before - 1))
    expect(window.locator("#tries")).to_contain_text(str(before - 1))
    enter_pin(window, demo.citizens[0].pin)
    page.locator("form#consent").wait_for()


def test_cancelled_in_the_bridges_window(demo: Demo, open_page: OpenPage, language: str) -> None:
    page = _login_page(demo, open_page, language)
    start_card(page).locator("#cancel").click()
    code, title, message = card_error(page)
    assert code == "user_cancelled"
    assert title and message
    enter_pin(start_card(page), demo.citizens[0].pin)
    page.locator("form#consent").wait_for()


def test_no_card_and_then_one(demo: Demo, open_page: OpenPage, language: str) -> None:
    page = _login_page(demo, open_page, language)
    with demo.card_removed():
        window = start_card(page)
        expect(window.locator("#act-title")).to_have_attribute("data-trouble", "no_card")
    window.locator("#pin").wait_for()
    enter_pin(window, demo.citizens[0].pin)
    page.locator("form#consent").wait_for()


def test_no_card_is_reported_to_the_page(demo: Demo, open_page: OpenPage, language: str) -> None:
    page = _login_page(demo, open_page, language)
    with demo.card_removed():
        start_card(page).locator("#report").click()
        code, title, message = card_error(page)
    assert code == "no_card"
    assert title and message


def test_giving_up_tells_the_relying_party(demo: Demo, open_page: OpenPage) -> None:
    page = _login_page(demo, open_page, "zh-TW")
    with page.expect_request(re.compile(f"^{re.escape(demo.relying_party)}.*error=")) as request:
        page.locator("#cancel-submit").click()
    assert callback_query(request.value.url)["error"] == "access_denied"


def test_denying_consent_tells_the_relying_party(demo: Demo, open_page: OpenPage) -> None:
    page = _login_page(demo, open_page, "zh-TW")
    page.goto(page.url)
    enter_pin(start_card(page), demo.citizens[0].pin)
    form = page.locator("form#consent")
    form.wait_for()
    with page.expect_request(re.compile(f"^{re.escape(demo.relying_party)}.*error=")) as request:
        form.locator("button[value=deny]").click()
    assert callback_query(request.value.url)["error"] == "access_denied"


def test_a_card_is_locked_by_wrong_pins(own_demo: Demo, open_page: OpenPage) -> None:
    page = _login_page(own_demo, open_page, "zh-TW")
    window = start_card(page)
    left = int(window.locator("#tries").get_attribute("data-tries") or "0")
    for still in range(left - 1, -1, -1):
        if window.locator("#last_try").count():
            window.locator("#last_try").check()
        enter_pin(window, WRONG_PIN)
        if still:
            expect(window.locator("#tries")).to_have_attribute("data-tries", str(still))
    assert card_error(page)[0] == "pin_blocked"

    texts = set()
    for language in ("zh-TW", "en"):
        again = _login_page(own_demo, open_page, language)
        window = start_card(again)
        expect(window.locator("#act-title")).to_have_attribute("data-trouble", "pin_blocked")
        window.locator("#report").click()
        code, _, message = card_error(again)
        assert code == "pin_blocked"
        texts.add(message)
    assert len(texts) == 2


@pytest.mark.parametrize("reason", ["keyCompromise", "certificateHold"])
def test_a_certificate_that_is_no_longer_good(own_demo: Demo, open_page: OpenPage, reason: str) -> None:
    own_demo.revoke(own_demo.citizens[0], reason)
    texts = set()
    for language in ("zh-TW", "en"):
        page = _login_page(own_demo, open_page, language)
        enter_pin(start_card(page), own_demo.citizens[0].pin)
        code, _, message = card_error(page)
        assert code == ("certificate_suspended" if reason == "certificateHold" else "certificate_revoked")
        texts.add(message)
    assert len(texts) == 2
