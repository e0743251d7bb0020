"""A citizen logs in with the card: real browser, real bridge, real pcscd with a virtual card."""

import re

from playwright.sync_api import Page, expect

from support.chromium import accessibility_faults, width_overflow
from support.demo import Demo
from support.e2e_types import OpenPage
from support.journey import enter_pin, log_in, start_card, to_login_page


def test_a_citizen_logs_in(demo: Demo, open_page: OpenPage, language: str) -> None:
    citizen = demo.citizens[0]
    page = open_page(demo.relying_party, language=language)
    to_login_page(page)
    assert page.url.startswith(f"{demo.issuer}/interaction/")
    expect(page.locator("html")).to_have_attribute("lang", language)

    window = start_card(page)
    assert window.url.startswith(f"{demo.bridge}/consent/")
    expect(window.locator("html")).to_have_attribute("lang", language)
    expect(window.locator("#origin")).to_have_text(demo.issuer)
    expect(window.locator("#code")).to_have_text(re.compile(r"^\d{4}$"))
    assert window.locator("#code").inner_text() == page.locator("#card-code").inner_text()
    enter_pin(window, citizen.pin)

    page.locator("form#consent").wait_for()
    assert page.url.endswith("/consent")
    page.locator("form#consent button[name=decision][value=allow]").click()

    expect(page.locator("#userinfo-name")).to_have_text(citizen.name)
    assert page.url.startswith(demo.relying_party)
    expect(page.locator("#claims-acr")).to_have_text("urn:citizenid:loa:high")
    expect(page.locator("#claims-amr")).to_contain_text("sc")
    assert citizen.national_id not in page.content()


def test_a_second_login_needs_no_card(demo: Demo, open_page: OpenPage) -> None:
    page = open_page(demo.relying_party)
    log_in(page, demo)
    page.goto(demo.relying_party)
    with demo.card_removed():
        page.context.clear_cookies(name=re.compile("^rp|relying"))
        page.goto(demo.relying_party)
        if page.locator("#login-button").count():
            page.locator("#login-button").click()
        expect(page.locator("#userinfo-name")).to_have_text(demo.citizens[0].name)


def test_every_page_is_accessible_and_fits_a_phone(demo: Demo, open_page: OpenPage, language: str) -> None:
    faults: list[str] = []

    def look(page: Page, name: str) -> None:
        faults.extend(f"{name}: {fault}" for fault in accessibility_faults(page))
        if overflow := width_overflow(page):
            faults.append(f"{name}: {overflow} px wider than a phone")

    page = open_page(demo.relying_party, language=language, width=360)
    look(page, "relying party")
    to_login_page(page)
    look(page, "login")
    window = start_card(page)
    window.set_viewport_size({"width": 360, "height": 740})
    window.locator("#pin").wait_for()
    look(window, "bridge")
    look(page, "login, waiting for the PIN")
    enter_pin(window, demo.citizens[0].pin)
    page.locator("form#consent").wait_for()
    look(page, "consent")
    page.locator("#consent-allow").click()
    page.locator("#userinfo").wait_for()
    look(page, "relying party, logged in")
    assert faults == []


def test_the_journey_needs_no_mouse(demo: Demo, open_page: OpenPage) -> None:
    page = open_page(demo.relying_party)
    page.locator("#login-button").focus()
    page.keyboard.press("Enter")
    page.locator("#card-start").focus()
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    window = opened.value
    expect(window.locator("#pin")).to_be_focused()
    window.keyboard.type(demo.citizens[0].pin)
    window.keyboard.press("Enter")
    page.locator("#consent-allow").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#userinfo-name")).to_have_text(demo.citizens[0].name)


def test_a_citizen_logs_out(demo: Demo, open_page: OpenPage) -> None:
    page = open_page(demo.relying_party)
    log_in(page, demo)
    page.locator("#logout-button").click()
    if page.url.startswith(demo.issuer):
        page.locator("form button[type=submit]").first.click()
    page.goto(demo.relying_party)
    to_login_page(page)
    expect(page.locator("#card-start")).to_be_visible()
