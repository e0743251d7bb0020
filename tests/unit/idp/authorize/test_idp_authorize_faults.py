"""When something of ours breaks: the relying party hears server_error, the person sees an id, the log has the rest."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Unavailable
from idp.authorize.checks import CHECKS
from support.fakes import FakeClock, SeededRng
from support.openid_provider import ProviderHouse, answer_of, query

SECRET = "the-secret-in-the-exception"


@pytest.fixture
def house(sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[ProviderHouse]:
    database = Database.open(sqlite_database_url)
    yield ProviderHouse(database, clock, rng)
    database.dispose()


def break_database(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(self: Database) -> Iterator[Transaction]:
        raise error

    for name in ("read", "write"):
        monkeypatch.setattr(Database, name, broken)


def test_a_fault_after_the_client_verified_is_redirected(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.authorize()
    break_database(house, monkeypatch, RuntimeError(SECRET))
    with capture_logs() as logs:
        answer = answer_of(house.authorize())
    assert answer["error"] == "server_error"
    assert answer["state"] == "state-1"
    event_id = answer["error_description"].removeprefix("event ")
    assert [entry["event_id"] for entry in logs] == [event_id]
    assert SECRET in repr(logs[0]["exc_info"])
    assert SECRET not in str(answer)


def test_a_database_that_is_away_is_temporarily_unavailable(
    house: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.authorize()
    break_database(house, monkeypatch, Unavailable(SECRET))
    with capture_logs():
        answer = answer_of(house.authorize())
        token = house.redeem("c" * 43)
        claims = house.userinfo("x" * 43)
    assert answer["error"] == "temporarily_unavailable"
    for response in (token, claims):
        assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
        assert response.headers["retry-after"] == "5"
        assert SECRET not in response.text


def test_a_fault_before_that_is_a_page(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    break_database(house, monkeypatch, RuntimeError(SECRET))
    with capture_logs():
        response = house.authorize()
    assert response.status_code == 500
    assert "location" not in response.headers
    assert SECRET not in response.text
    assert "server_error" in response.text


def test_faults_of_the_token_endpoint_are_json(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    break_database(house, monkeypatch, RuntimeError(SECRET))
    with capture_logs() as logs:
        response = house.redeem("c" * 43)
    assert response.status_code == 500
    body = response.json()
    assert body["error"] == "server_error"
    assert body["error_description"] == f"event {logs[0]['event_id']}"
    assert response.headers["cache-control"] == "no-store"
    assert SECRET not in response.text


def test_bodies_and_queries_are_bounded(house: ProviderHouse) -> None:
    house.set_cookie("browser", "b" * 43)
    long = "x" * 20_000
    assert house.browser.post("/authorize", data=house.parameters(login_hint=long)).status_code == 400
    assert house.browser.get(f"/authorize?{query(house.parameters(login_hint=long))}").status_code == 400
    assert house.browser.post("/token", data={"code": long}).status_code == 400
    assert house.browser.post("/userinfo", data={"x": long}).status_code == 400


def test_a_browser_cookie_that_is_not_ours_is_replaced(house: ProviderHouse) -> None:
    for value in ("x", "x" * 44, "x" * 42 + "="):
        house.set_cookie("browser", value)
        assert "citizenid-browser=" in house.authorize().headers["set-cookie"]


def test_error_pages_speak_both_languages(house: ProviderHouse) -> None:
    for lang in ("zh-TW", "en"):
        response = house.browser.get("/authorize", headers={"Accept-Language": lang})
        assert response.headers["content-language"] == lang
        assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_checks_are_in_this_order() -> None:
    """State first, for it goes into every answer; repeats before anything is believed."""
    assert [check.__name__ for check in CHECKS] == [
        "read_state",
        "refuse_repeats",
        "refuse_request_objects",
        "read_response_type",
        "read_response_mode",
        "read_scope",
        "read_code_challenge",
        "read_nonce",
        "read_prompt",
        "read_max_age",
        "read_claims",
        "read_acr_values",
        "read_id_token_hint",
        "read_ui_locales",
    ]


def test_a_login_costs_this_many_statements(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned, so that the busiest path grows only on purpose: authorize 3, token 2, userinfo 1 (persons: a fake)."""
    house.log_in()
    house.consent()
    counted: list[str] = []
    for name in ("one_or_none", "all", "execute"):
        original = getattr(Transaction, name)

        def counting(self: Transaction, *args: object, _original: object = original, **kwargs: object) -> object:
            counted.append("statement")
            return _original(self, *args, **kwargs)  # type: ignore[operator] # the method it stands in for

        monkeypatch.setattr(Transaction, name, counting)
    house.provider.clients.find("rp")
    counted.clear()
    code = house.code()
    assert len(counted) == 3
    counted.clear()
    token = house.redeem(code).json()["access_token"]
    assert len(counted) == 2
    counted.clear()
    assert house.userinfo(token).status_code == 200
    assert len(counted) == 1
