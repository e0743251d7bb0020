"""The statements of the provider's own features, on both databases."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ca_core.kernel.database import Database
from idp.authorize.errors import InteractionExpired, InteractionMovedOn, InteractionNotFound, WrongBrowser, WrongSession
from idp.authorize.model import ConsentNeeded
from idp.authorize.store import interaction
from idp.clients.errors import ClientExists
from idp.clients.model import Client, TokenEndpointAuthMethod
from idp.consent.store import consent
from idp.sessions.model import SessionLimits
from idp.sessions.service import SessionService
from idp.sessions.store import login_session
from idp.token.store import authorization_grant
from support.fakes import FakeClock, SeededRng
from support.openid_provider import BROWSER, CALLBACK, ProviderHouse, Tokens, answer_of


@pytest.fixture
def house(database: Database, clock: FakeClock, rng: SeededRng) -> Iterator[ProviderHouse]:
    yield ProviderHouse(database, clock, rng)


def test_a_whole_login(house: ProviderHouse) -> None:
    """Interaction, login, consent, code, tokens, claims."""
    house.set_cookie("browser", BROWSER)
    path = house.authorize().headers["location"]
    authorize = house.provider.authorize
    found = authorize.interaction(path.split("/")[2], BROWSER)
    assert found.request.released_claims == ("name", "birthdate", "gender")
    session = house.log_in()
    step = authorize.authenticated(found, session)
    assert isinstance(step, ConsentNeeded)
    found = authorize.interaction(found.id, BROWSER)
    assert found.path == step.path
    url = authorize.decide(found, session, True).url
    assert url.startswith(f"{CALLBACK}?code=")
    code = url.partition("code=")[2].partition("&")[0]
    tokens = Tokens(house.redeem(code).json())
    assert tokens.claims["nonce"] == "nonce-1"
    assert house.userinfo(tokens.access_token).json()["name"] == "王小明"
    assert "code" in answer_of(house.authorize(prompt="none")), "the consent is remembered"
    assert [event[:2] for event in house.events()] == [
        ("client.registered", "ok"),
        ("consent.granted", "ok"),
        ("token.issued", "ok"),
    ]


def test_a_client_is_stored_as_it_was_registered(house: ProviderHouse) -> None:
    made = house.register("second", redirect_uris=(CALLBACK, "https://rp.example/b?x=1")).client
    house.pass_time(seconds=2)
    assert house.provider.clients.find("second") == made
    public = house.register_public().client
    assert house.provider.clients.find("public") == public
    assert public.secret_hash is None
    assert [client.client_id for client in house.provider.clients.all()] == ["public", "rp", "second"]
    with pytest.raises(ClientExists):
        house.register("second")


def test_a_change_made_elsewhere_is_seen_within_a_second(house: ProviderHouse) -> None:
    """Another process has its own registry over the same table."""
    first = house.provider.clients.find("rp")
    assert isinstance(first, Client)
    with house.database.write() as tx:
        tx._connection.execute("UPDATE client SET token_endpoint_auth_method = 'none'")
    assert house.provider.clients.find("rp") is first
    house.pass_time(seconds=1)
    changed = house.provider.clients.find("rp")
    assert changed is not None
    assert changed.token_endpoint_auth_method is TokenEndpointAuthMethod.NONE


def test_a_session_is_found_by_its_token_alone(house: ProviderHouse) -> None:
    session, token = house.start_session(amr=("hwk", "user"))
    assert house.provider.sessions.find(token) == session
    for wrong in (None, "", session.id, token[:-1], token.lower(), "\udc00"):
        assert house.provider.sessions.find(wrong) is None


def test_a_login_takes_the_place_of_the_session_before(house: ProviderHouse) -> None:
    """Fixation: a token that was planted in the browser is worth nothing after the login."""
    _, planted = house.start_session("person-2")
    with house.database.write() as tx:
        session, token = house.provider.sessions.start(tx, house.authentication(), replaces=planted)
    assert house.provider.sessions.find(planted) is None
    assert house.provider.sessions.find(token) == session
    assert planted != token


def test_no_session_outlives_its_certificate(house: ProviderHouse, clock: FakeClock) -> None:
    not_after = clock() + timedelta(minutes=10)
    _, token = house.start_session(not_after=not_after)
    clock.set(not_after - timedelta(microseconds=1))
    assert house.provider.sessions.find(token) is not None
    clock.set(not_after)
    assert house.provider.sessions.find(token) is None


def test_a_session_ends_for_good_when_its_certificate_is_suspended(house: ProviderHouse) -> None:
    _, token = house.start_session()
    house.certificates.bad.add(7)
    assert house.provider.sessions.find(token) is None
    house.certificates.bad.clear()
    assert house.provider.sessions.find(token) is None


def test_idleness_is_written_down_once_a_minute(house: ProviderHouse, database: Database) -> None:
    limits = SessionLimits(idle_s=100, absolute_s=1_000, touch_s=60)
    sessions = SessionService(database, house.clock, house.rng, house.certificates, limits)
    with database.write() as tx:
        started, token = sessions.start(tx, house.authentication())
    house.pass_time(seconds=59)
    assert sessions.find(token) == started
    house.pass_time(seconds=1)
    sessions.find(token)
    touched = sessions.find(token)
    assert touched is not None
    assert touched.last_used_at == house.clock()
    house.pass_time(seconds=99)
    assert sessions.find(token) is not None
    house.pass_time(seconds=100)
    assert sessions.find(token) is None


def test_consents_add_up_and_can_be_withdrawn(house: ProviderHouse) -> None:
    consents = house.provider.consents

    def granted(scope: tuple[str, ...], claims: tuple[str, ...] = ()) -> bool:
        with house.database.read() as tx:
            return consents.granted(tx, "person-1", "rp", scope, claims)

    house.consent(scope=("openid", "profile"))
    house.consent(scope=("openid",), claims=("national_id_last4",))
    assert granted(("openid", "profile"), ("national_id_last4",))
    assert granted(("openid",), ("name",)), "a scope that was allowed releases the claim"
    assert not granted(("openid", "national_id"))
    assert not granted(("openid",), ("national_id",))
    house.consent(scope=("openid", "profile"), claims=("name",))
    assert house.count(consent) == 2, "nothing new was allowed"
    with house.database.write() as tx:
        assert consents.withdraw(tx, "person-1", "rp") == 2
    assert not granted(("openid",))
    assert house.count(consent) == 2, "what was once allowed stays provable"


def test_consent_is_for_one_person_and_one_client(house: ProviderHouse) -> None:
    house.consent()
    with house.database.read() as tx:
        assert not house.provider.consents.granted(tx, "person-2", "rp", ("openid",), ())
        assert not house.provider.consents.granted(tx, "person-1", "other", ("openid",), ())


def test_an_interaction_opens_in_its_browser_in_its_time(house: ProviderHouse) -> None:
    house.set_cookie("browser", BROWSER)
    path = house.authorize().headers["location"]
    interaction_id = path.split("/")[2]
    open_it = house.provider.authorize.interaction
    with pytest.raises(InteractionNotFound):
        open_it("x" * 43, BROWSER)
    for wrong in (None, "", "c" * 43):
        with pytest.raises(WrongBrowser):
            open_it(interaction_id, wrong)
    house.pass_time(seconds=599)
    found = open_it(interaction_id, BROWSER)
    house.pass_time(seconds=1)
    with pytest.raises(InteractionExpired):
        open_it(interaction_id, BROWSER)
    session, _ = house.start_session()
    with pytest.raises(InteractionMovedOn):
        house.provider.authorize.authenticated(found, session)
    with pytest.raises(InteractionMovedOn):
        house.provider.authorize.abort(found, "access_denied", "")
    assert house.count(authorization_grant) == 0


def test_a_decided_interaction_cannot_be_opened_again(house: ProviderHouse) -> None:
    house.set_cookie("browser", BROWSER)
    path = house.authorize().headers["location"]
    found = house.provider.authorize.interaction(path.split("/")[2], BROWSER)
    answer = house.provider.authorize.abort(found, "access_denied", "The citizen cancelled the login.")
    assert "error=access_denied" in answer.url
    assert ("authorization.refused", "refused", {"error": "access_denied"}) in house.events()
    with pytest.raises(InteractionMovedOn):
        house.provider.authorize.interaction(found.id, BROWSER)


def test_only_the_login_that_answered_may_decide(house: ProviderHouse) -> None:
    house.set_cookie("browser", BROWSER)
    path = house.authorize().headers["location"]
    authorize = house.provider.authorize
    found = authorize.interaction(path.split("/")[2], BROWSER)
    own, _ = house.start_session()
    other, _ = house.start_session("person-2")
    authorize.authenticated(found, own)
    found = authorize.interaction(found.id, BROWSER)
    with pytest.raises(WrongSession):
        authorize.decide(found, other, True)
    with pytest.raises(InteractionMovedOn):
        authorize.authenticated(found, other)
    assert house.count(authorization_grant) == 0
    assert "code=" in authorize.decide(found, own, True).url


def test_a_login_that_ended_before_the_decision_gives_no_code(house: ProviderHouse) -> None:
    house.set_cookie("browser", BROWSER)
    path = house.authorize().headers["location"]
    authorize = house.provider.authorize
    session, _ = house.start_session()
    authorize.authenticated(authorize.interaction(path.split("/")[2], BROWSER), session)
    found = authorize.interaction(path.split("/")[2], BROWSER)
    house.certificates.bad.add(7)
    assert "error=login_required" in authorize.decide(found, session, True).url
    assert house.count(authorization_grant) == house.count(consent) == 0


def test_what_expired_is_forgotten(house: ProviderHouse) -> None:
    house.tokens()
    house.set_cookie("browser", BROWSER)
    house.authorize(prompt="login")
    tables = (authorization_grant, interaction, login_session)
    house.pass_time(hours=24, seconds=59)
    house.provider.forget_expired()
    assert house.count(authorization_grant) == 1, "a replay of it is still told as one"
    house.log_in()
    house.consent()
    house.code()
    house.pass_time(minutes=2)
    house.provider.forget_expired()
    assert house.count(authorization_grant) == 1, "the old one went, the young one stays"
    house.pass_time(hours=25)
    house.provider.forget_expired()
    assert [house.count(table) for table in tables] == [0, 0, 1]
    house.pass_time(hours=8)
    house.provider.forget_expired()
    assert house.count(login_session) == 0
