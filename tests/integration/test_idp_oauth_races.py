"""Eight at once on one code, one interaction, one session: one wins, on both databases."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from ca_core.kernel.database import Database
from idp.authorize.errors import InteractionMovedOn
from idp.authorize.model import ConsentNeeded, Interaction, Redirect
from idp.authorize.service import interaction_key
from idp.oauth.errors import InvalidGrant
from idp.sessions.model import Session
from idp.token.model import TokenResponse
from idp.token.store import authorization_grant
from support.fakes import FakeClock, SeededRng
from support.openid_provider import BROWSER, CALLBACK, VERIFIER, ProviderHouse, basic

THREADS = 8
R = TypeVar("R")


@pytest.fixture
def house(database: Database, clock: FakeClock, rng: SeededRng) -> Iterator[ProviderHouse]:
    yield ProviderHouse(database, clock, rng)


def at_once(call: Callable[[], R]) -> list[R | Exception]:
    """What eight threads got that called it behind one barrier."""
    barrier = threading.Barrier(THREADS)
    got: list[R | Exception] = []

    def run() -> None:
        barrier.wait(10)
        try:
            got.append(call())
        except Exception as error:  # noqa: BLE001  the error is the result
            got.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == THREADS
    return got


def exchange(house: ProviderHouse, code: str) -> TokenResponse:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return house.provider.tokens.exchange(basic("rp", house.rp.client_secret or ""), form)


def begin(house: ProviderHouse) -> Interaction:
    house.set_cookie("browser", BROWSER)
    location = house.authorize().headers["location"]
    return house.provider.authorize.interaction(location.split("/")[2], BROWSER)


def test_one_code_gives_tokens_once(house: ProviderHouse) -> None:
    """One answer, and seven second uses, after which the winner's access token is worth nothing (RFC 6749 s4.1.2).

    The person stays logged in, and the winner keeps the ID token: who races can spoil UserInfo, not the login.
    """
    code = house.code_at_once()
    got = at_once(lambda: exchange(house, code))
    winners = [answer for answer in got if isinstance(answer, TokenResponse)]
    assert len(winners) == 1
    assert all(isinstance(answer, TokenResponse | InvalidGrant) for answer in got)
    assert house.live_tokens() == 0
    assert house.count(authorization_grant) == 1
    names = [name for name, _, _ in house.events()]
    assert names.count("token.issued") == 1
    assert names.count("code.replayed") == THREADS - 1
    assert house.userinfo(winners[0].access_token).status_code == 401
    assert "code=" in house.authorize(prompt="none").headers["location"]


def test_one_interaction_is_answered_by_one_login(house: ProviderHouse) -> None:
    interaction = begin(house)
    sessions = [house.start_session()[0] for _ in range(THREADS)]
    waiting = iter(sessions)
    lock = threading.Lock()

    def answer() -> Redirect | ConsentNeeded:
        with lock:
            session = next(waiting)
        return house.provider.authorize.authenticated(interaction, session)

    got = at_once(answer)
    assert sum(isinstance(step, ConsentNeeded) for step in got) == 1
    assert sum(isinstance(step, InteractionMovedOn) for step in got) == THREADS - 1
    assert house.count(authorization_grant) == 0


def test_one_interaction_gives_one_code_without_consent_being_asked(house: ProviderHouse) -> None:
    """Consent was given before, so that the login itself ends in the code."""
    house.consent()
    interaction = begin(house)
    session, _ = house.start_session()
    got = at_once(lambda: house.provider.authorize.authenticated(interaction, session))
    assert sum(isinstance(step, Redirect) for step in got) == 1
    assert sum(isinstance(step, InteractionMovedOn) for step in got) == THREADS - 1
    assert house.count(authorization_grant) == 1


@pytest.mark.parametrize("allow", [True, False])
def test_one_interaction_is_decided_once(house: ProviderHouse, allow: bool) -> None:
    interaction, session = authenticated(house)
    got = at_once(lambda: house.provider.authorize.decide(interaction, session, allow))
    assert sum(isinstance(step, Redirect) for step in got) == 1
    assert sum(isinstance(step, InteractionMovedOn) for step in got) == THREADS - 1
    assert house.count(authorization_grant) == (1 if allow else 0)
    name = "consent.granted" if allow else "consent.refused"
    assert [event[0] for event in house.events()].count(name) == 1


def test_allow_and_cancel_at_once_give_one_answer(house: ProviderHouse) -> None:
    interaction, session = authenticated(house)
    turn = iter(range(THREADS))
    lock = threading.Lock()

    def answer() -> Redirect:
        with lock:
            is_even = next(turn) % 2 == 0
        if is_even:
            return house.provider.authorize.decide(interaction, session, True)
        return house.provider.authorize.abort(interaction, "access_denied", "cancelled")

    got = at_once(answer)
    answers = [step.url for step in got if isinstance(step, Redirect)]
    assert len(answers) == 1
    assert house.count(authorization_grant) == (1 if "code=" in answers[0] else 0)


def test_a_session_ends_once(house: ProviderHouse) -> None:
    session, token = house.start_session()
    got = at_once(lambda: house.provider.sessions.end(session.id))
    assert got.count(True) == 1
    assert house.provider.sessions.find(token) is None


def test_a_live_session_serves_eight_tabs(house: ProviderHouse) -> None:
    """The same request from eight tabs: eight codes, none twice, and the session's idleness is kept right."""
    house.log_in()
    house.consent()
    house.pass_time(minutes=20)
    cookie = house.browser.cookies
    urls = at_once(lambda: _authorize_elsewhere(house, cookie))
    codes = {str(url).partition("code=")[2].partition("&")[0] for url in urls}
    assert len(codes) == THREADS
    assert house.count(authorization_grant) == THREADS
    house.pass_time(minutes=20)
    assert "code=" in house.authorize(prompt="none").headers["location"]


def authenticated(house: ProviderHouse) -> tuple[Interaction, Session]:
    interaction = begin(house)
    session, _ = house.start_session()
    step = house.provider.authorize.authenticated(interaction, session)
    assert isinstance(step, ConsentNeeded)
    found = house.provider.authorize.interaction(interaction.id, BROWSER)
    assert found.key == interaction_key(interaction.id)
    return found, session


def _authorize_elsewhere(house: ProviderHouse, cookies: object) -> str:
    browser = house.new_browser()
    browser.cookies = cookies  # type: ignore[assignment] # one browser's cookies in several tabs
    return str(browser.get("/authorize", params=house.parameters()).headers["location"])
