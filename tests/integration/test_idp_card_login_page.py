"""The login page's script in a real browser, with this server's real pages and a bridge that says what it is told."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Route, expect

from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES
from ca_core.statement import StatementStore, code_of
from idp import messages
from idp.authn.card.model import REPORTED_CODES
from support.card_login import BROWSER, Card
from support.chromium import accessibility_faults, chromium, width_overflow
from support.fakes import FakeClock, SeededRng
from support.login_scene import REFUSALS, SIGNED, WAITING, Scene, login_scene

CATALOGUES = Catalogues.load([OWN_MESSAGES, messages.FOLDER])
PAGE_ONLY = {"bridge_unreachable", "local_network_denied", "bridge_failed"}
ENDS = sorted(REPORTED_CODES - set(REFUSALS) - PAGE_ONLY - {"pin_incorrect"})


@pytest.fixture(scope="module", name="browser")
def fixture_browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def scene(browser: Browser, sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[Scene]:
    with login_scene(browser, sqlite_database_url, clock, rng) as made:
        yield made


@pytest.mark.parametrize("lang", ["zh-TW", "en"])
def test_a_login_from_click_to_consent_to_the_relying_party(scene: Scene, lang: str) -> None:
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.open(lang)
    scene.start()
    scene.page.wait_for_selector("form#consent")
    assert scene.bridge.windows == [f"{scene.bridge.origin}/consent/operation-1?t=secret"]
    assert set(scene.bridge.asked[0]) == {"challenge_nonce", "statement", "lang"}
    assert scene.bridge.asked[0]["lang"] == lang
    scene.page.click("#consent-allow")
    scene.page.wait_for_url(f"{scene.house.interactions.callback}?code=c")
    assert scene.complaints == []
    assert scene.house.rows().sessions == 1


def test_while_it_waits_the_page_shows_the_code_the_step_and_the_link(scene: Scene) -> None:
    scene.bridge.script = [*WAITING, None]
    scene.open()
    scene.start()
    page = scene.page
    step = page.locator("#card-steps [aria-current=step]")
    expect(step).to_have_text("Check the details and enter your PIN in the card program's window")
    expect(page.locator("#card-status")).to_have_text(step.inner_text())
    with scene.house.database.read() as tx:
        digest = StatementStore().earlier_digests(tx, scene.house.interactions.live["interaction-1"].key)[0]
    expect(page.locator("#card-code")).to_have_text(code_of(digest))
    link = page.locator("#card-consent-link")
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")
    expect(link).to_have_attribute("href", f"{scene.bridge.origin}/consent/operation-1?t=secret")
    expect(page.locator("#card-start")).to_be_hidden()
    assert width_overflow(page) == 0


def test_cancelling_on_the_page_cancels_at_the_bridge_and_at_the_relying_party(scene: Scene) -> None:
    scene.bridge.script = [*WAITING, None]
    scene.open()
    scene.start()
    scene.page.wait_for_selector("#card-consent-link:visible")
    scene.page.click("#cancel-submit")
    scene.page.wait_for_url(f"{scene.house.interactions.callback}?error=access_denied")
    scene.page.wait_for_timeout(300)
    assert scene.bridge.cancelled == ["operation-1"]
    assert scene.house.interactions.aborted == [("access_denied", "The citizen cancelled the login.")]


def test_a_wrong_pin_is_shown_while_the_bridge_goes_on(scene: Scene) -> None:
    scene.bridge.script = [*WAITING, ("error", {"code": "pin_incorrect", "tries_left": 2}), None]
    scene.open()
    scene.start()
    error = scene.page.locator("#card-error")
    expect(error).to_be_visible()
    expect(error).to_contain_text("Tries left before the card locks: 2.")
    expect(scene.page.locator("#card-progress")).to_be_visible()
    expect(scene.page.locator("#card-retry")).to_be_hidden()


def test_a_wrong_pin_and_then_the_right_one(scene: Scene) -> None:
    scene.bridge.script = [*WAITING, ("error", {"code": "pin_incorrect", "tries_left": 2}), *SIGNED]
    scene.open()
    scene.start()
    scene.page.wait_for_selector("form#consent")
    assert [name for name, _, _ in scene.house.events()] == ["card_login.reported", "card_login.accepted"]


def test_each_failure_of_the_card_is_shown_in_place(scene: Scene) -> None:
    scene.open()
    for code in ENDS:
        scene.bridge.script = [WAITING[0], ("error", {"code": code})]
        scene.start()
        _assert_shown(scene, code)
        for window in scene.context.pages[1:]:
            window.close()
    assert scene.complaints == []


def test_each_refusal_of_the_bridge_is_shown_in_place(scene: Scene) -> None:
    scene.open()
    for code in sorted(REFUSALS):
        scene.bridge.refusal = code
        scene.start()
        _assert_shown(scene, code)
    assert len(scene.complaints) == len(REFUSALS)  # the browser itself notes each refused request


def _assert_shown(scene: Scene, code: str) -> None:
    page = scene.page
    expect(page.locator("#card-error-code")).to_have_text(code)
    title, message = english(code)
    expect(page.locator("#card-error-title")).to_have_text(title)
    expect(page.locator("#card-error-title")).to_be_focused()
    expect(page.locator("#card-error-message")).to_have_text(message)
    expect(page.locator("#card-retry")).to_be_visible()
    expect(page.locator("#card-give-up")).to_be_visible()
    expect(page.locator("#card-progress")).to_be_hidden()
    assert scene.house.events()[-1][2]["reported_code"] == code


def english(code: str) -> tuple[str, str]:
    return CATALOGUES.translator("en").error(code)


def test_after_a_failure_the_next_try_may_succeed(scene: Scene) -> None:
    scene.bridge.script = [("error", {"code": "no_card"})]
    scene.open()
    scene.start()
    scene.page.wait_for_selector("#card-retry:visible")
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.page.click("#card-retry")
    scene.page.wait_for_selector("form#consent")
    first, second = (asked["challenge_nonce"] for asked in scene.bridge.asked)
    assert first != second


def test_giving_up_after_a_failure_goes_back_to_the_relying_party(scene: Scene) -> None:
    scene.bridge.script = [("error", {"code": "pin_blocked"})]
    scene.open()
    scene.start()
    scene.page.click("#card-give-up")
    scene.page.wait_for_url(f"{scene.house.interactions.callback}?error=access_denied")
    assert scene.house.interactions.aborted == [("access_denied", "The citizen could not complete the login.")]


def test_a_refused_token_is_shown_in_the_servers_words(scene: Scene) -> None:
    scene.bridge.card = Card(scene.house.ca.card(person_id="person-2").key, scene.bridge.card.certificate)
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.open()
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("token_binding_mismatch")
    expect(scene.page.locator("#card-error-title")).to_have_text("The signature is not for this login")


def test_a_bridge_that_is_not_there(scene: Scene) -> None:
    scene.open()
    scene.context.route(f"{scene.bridge.origin}/**", lambda route: route.abort("connectionrefused"))
    scene.start()
    _assert_shown(scene, "bridge_unreachable")


def test_a_browser_that_was_told_not_to_call_the_bridge(scene: Scene) -> None:
    scene.page.add_init_script("navigator.permissions.query = async () => ({ state: 'denied' })")
    scene.open()
    scene.context.route(f"{scene.bridge.origin}/**", lambda route: route.abort("blockedbyclient"))
    scene.start()
    _assert_shown(scene, "local_network_denied")


def test_a_bridge_that_stops_in_the_middle(scene: Scene) -> None:
    scene.bridge.script = [WAITING[0]]
    scene.open()
    scene.start()
    _assert_shown(scene, "bridge_failed")


def test_a_newer_bridges_unknown_code(scene: Scene) -> None:
    scene.bridge.script = [("error", {"code": "reader_on_fire"})]
    scene.open()
    scene.start()
    _assert_shown(scene, "bridge_failed")


def test_an_interaction_that_ran_out_offers_no_second_try(scene: Scene) -> None:
    scene.open()
    scene.house.clock.advance(601)
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("interaction_expired")
    expect(scene.page.locator("#card-retry")).to_be_hidden()


def test_a_window_elsewhere_is_not_opened(scene: Scene) -> None:
    scene.open()

    def elsewhere(route: Route) -> None:
        body = {"operation_id": "operation-1", "consent_url": "https://evil.example/consent/1", "expires_in": 60}
        route.fulfill(
            status=202,
            json=body,
            headers={"Access-Control-Allow-Origin": scene.origin, "Content-Type": "application/json"},
        )

    scene.context.route(f"{scene.bridge.origin}/v1/authenticate", elsewhere)
    scene.start()
    _assert_shown(scene, "bridge_failed")
    assert len(scene.context.pages) == 1


def test_without_script_the_page_says_what_to_do_and_cancel_works(scene: Scene, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, locale="zh-TW")
    context.add_cookies(
        [{"name": name, "value": value, "url": scene.origin} for name, value in _cookies(scene).items()]
    )
    page = context.new_page()
    page.goto(f"{scene.origin}/interaction/interaction-1")
    expect(page.locator("#card-noscript")).to_be_visible()
    expect(page.locator("#card-start")).to_be_hidden()
    page.click("#cancel-submit")
    page.wait_for_url(f"{scene.house.interactions.callback}?error=access_denied")
    context.close()


def _cookies(scene: Scene) -> dict[str, str]:
    return {f"citizenid-browser-{scene.origin.rpartition(':')[2]}": BROWSER}


def test_the_keyboard_alone_gets_there(scene: Scene) -> None:
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.open()
    visited = []
    for _ in range(6):
        scene.page.keyboard.press("Tab")
        visited.append(scene.page.evaluate("document.activeElement.id || document.activeElement.className"))
        if visited[-1] == "card-start":
            break
    assert visited == ["skip", "language-zh-TW", "card-start"]
    scene.page.keyboard.press("Enter")
    scene.page.wait_for_selector("form#consent")


def test_every_control_is_large_enough_and_named(scene: Scene) -> None:
    scene.open()
    for control in scene.page.locator("a:visible, button:visible").all():
        box = control.bounding_box()
        assert box is not None
        assert control.inner_text().strip()
        if "skip" not in (control.get_attribute("class") or ""):
            assert min(box["width"], box["height"]) >= 24


@pytest.mark.parametrize("lang, scheme", [("zh-TW", "light"), ("en", "dark")])
def test_no_accessibility_fault_in_any_state(
    scene: Scene, browser: Browser, lang: str, scheme: Literal["light", "dark"]
) -> None:
    page = scene.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    faults: list[str] = []

    def check(state: str) -> None:
        faults.extend(f"{state}: {fault}" for fault in accessibility_faults(page))
        faults.extend([f"{state}: too wide"] if width_overflow(page) else [])

    scene.open(lang)
    check("asked")
    scene.bridge.script = [*WAITING, ("error", {"code": "pin_incorrect", "tries_left": 1}), None]
    scene.start()
    expect(page.locator("#card-error")).to_be_visible()
    check("waiting, PIN wrong")
    scene.bridge.script = [("error", {"code": "pin_blocked"})]
    scene.open(lang)
    scene.start()
    expect(page.locator("#card-retry")).to_be_visible()
    check("failed")
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.start()
    page.wait_for_selector("form#consent")
    check("consent")
    page.goto(f"{scene.origin}/interaction/another?lang={lang}")
    check("not found")
    assert faults == []
