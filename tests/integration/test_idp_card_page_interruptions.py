"""The login page where a line breaks, or an answer is late or never comes: the login goes on, or the page says why."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from support.chromium import chromium
from support.fakes import FakeClock, SeededRng
from support.login_scene import SIGNED, WAITING, Scene, login_scene

BROKEN_TIMES = 4
AFTER_THE_BROWSERS_QUESTION = """
    const asked = window.fetch, now = performance.now.bind(performance);
    let late = 0;
    performance.now = () => now() + late;
    window.fetch = async (request, options) => {
        const answer = await asked(request, options);
        if (String(request.url ?? request).endsWith("/v1/authenticate")) late += 50_000;
        return answer;
    };
"""


@pytest.fixture(scope="module", name="browser")
def fixture_browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def scene(browser: Browser, sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[Scene]:
    with login_scene(browser, sqlite_database_url, clock, rng) as made:
        yield made


def lose(scene: Scene, path: str, *, times: int = 1) -> list[str]:
    """The first requests for that path break at network level; returns what was broken."""
    broken: list[str] = []

    def break_first(route: Route) -> None:
        if len(broken) < times:
            broken.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    scene.context.route(re.compile(f"{path}(\\?.*)?$"), break_first)
    return broken


def hold(scene: Scene, pattern: str) -> list[str]:
    """No request of that address is ever answered; returns those that came."""
    held: list[str] = []
    scene.context.route(pattern, lambda route: held.append(route.request.url))
    return held


@pytest.mark.parametrize("path", ["/card/challenge", "/v1/authenticate", "/v1/events", "/interaction-1/card"])
def test_a_request_that_is_lost_is_sent_again(scene: Scene, path: str) -> None:
    scene.bridge.script = [*WAITING, *SIGNED]
    broken = lose(scene, path)
    scene.open()
    scene.start()
    scene.page.wait_for_selector("form#consent")
    assert len(broken) == 1
    assert scene.house.rows().sessions == 1


def test_the_words_for_a_failure_are_asked_for_again(scene: Scene) -> None:
    scene.bridge.script = [WAITING[0], ("error", {"code": "no_card"})]
    broken = lose(scene, "/card/failure")
    scene.open()
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("no_card")
    assert len(broken) == 1


def test_a_server_that_stays_away_is_said_to_be_away(scene: Scene) -> None:
    broken = lose(scene, "/card/challenge", times=2)
    scene.open()
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("offline")
    assert len(broken) == 2
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.start()
    scene.page.wait_for_selector("form#consent")


@pytest.mark.parametrize("end", [[], [("cut", {})]], ids=["ended", "cut"])
def test_a_stream_that_breaks_while_the_person_types_is_taken_up_again(
    scene: Scene, end: list[tuple[str, dict[str, object]]]
) -> None:
    scene.bridge.scripts = [[*WAITING, *end], [*WAITING, *end]]
    scene.bridge.script = [WAITING[1], *SIGNED]
    scene.open()
    scene.start()
    scene.page.wait_for_selector("form#consent")
    assert scene.bridge.scripts == []
    assert len(scene.bridge.windows) == 1
    assert scene.bridge.cancelled == []
    assert [name for name, _, _ in scene.house.events()] == ["card_login.accepted"]


def test_an_operation_that_the_page_gives_up_is_cancelled_at_the_bridge(scene: Scene) -> None:
    """Else the person types the PIN for nobody, and the next try is refused while the bridge waits for them."""
    scene.bridge.scripts = [[*WAITING] for _ in range(BROKEN_TIMES)]
    scene.open()
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("bridge_failed")
    assert scene.bridge.cancelled == ["operation-1"]
    assert scene.bridge.scripts == []


def test_an_operation_that_has_ended_is_not_cancelled(scene: Scene) -> None:
    scene.bridge.script = [("error", {"code": "user_cancelled"})]
    scene.open()
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("user_cancelled")
    scene.page.wait_for_timeout(300)
    assert scene.bridge.cancelled == []


def test_a_late_answer_to_the_browsers_question_begins_with_a_new_statement(scene: Scene) -> None:
    """A statement lives for one minute; the question whether the page may call the bridge waits longer than that."""
    scene.page.add_init_script(AFTER_THE_BROWSERS_QUESTION)
    scene.bridge.refusals = ["statement_expired"]
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.open()
    scene.start()
    scene.page.wait_for_selector("form#consent")
    first, second = (asked["challenge_nonce"] for asked in scene.bridge.asked)
    assert first != second


def test_a_statement_that_is_refused_at_once_is_a_wrong_clock(scene: Scene) -> None:
    scene.bridge.refusal = "statement_expired"
    scene.open()
    scene.start()
    expect(scene.page.locator("#card-error-code")).to_have_text("statement_expired")
    assert len(scene.bridge.asked) == 1


def test_a_server_that_never_answers_is_not_waited_for_without_end(scene: Scene) -> None:
    held = hold(scene, "**/card/challenge")
    scene.page.clock.install()
    scene.open()
    with scene.page.expect_request("**/card/challenge"):
        scene.start()
    scene.page.clock.fast_forward(26_000)
    expect(scene.page.locator("#card-error-code")).to_have_text("offline")
    assert len(held) == 1


def test_a_bridge_that_never_answers_is_not_waited_for_without_end(scene: Scene) -> None:
    """Where the browser has nothing to ask the person any more: else that question may be what is waited for."""
    held = hold(scene, "**/v1/authenticate")
    scene.page.add_init_script("navigator.permissions.query = async () => ({ state: 'granted' })")
    scene.page.clock.install()
    scene.open()
    with scene.page.expect_request("**/v1/authenticate"):
        scene.start()
    scene.page.clock.fast_forward(26_000)
    expect(scene.page.locator("#card-error-code")).to_have_text("bridge_failed")
    assert len(held) == 1


@pytest.mark.parametrize("by", ["fin", "rst"])
def test_connections_that_close_as_the_next_request_comes(scene: Scene, by: str) -> None:
    """The browser itself sends such a request again, a POST too, on a connection of its own."""
    scene.bridge.script = [*WAITING, *SIGNED]
    scene.open()
    scene.race.by = by
    scene.start()
    scene.page.wait_for_selector("form#consent")
    assert scene.race.closed >= 1
    assert scene.complaints == []
