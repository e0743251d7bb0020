"""The registry: registering, finding, forgetting; and loopback redirect URIs of native clients."""

from collections.abc import Iterator

import pytest

from ca_core.kernel.database import Database
from idp.clients import service
from idp.clients.errors import ClientExists, RegistrationRefused
from idp.clients.model import ApplicationType
from idp.clients.store import client as client_table
from idp.oauth.hashing import token_hash
from support.fakes import FakeClock, SeededRng
from support.openid_provider import ProviderHouse


@pytest.fixture
def house(sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[ProviderHouse]:
    database = Database.open(sqlite_database_url)
    yield ProviderHouse(database, clock, rng)
    database.dispose()


def test_a_secret_has_256_bits_and_is_kept_as_a_hash(house: ProviderHouse) -> None:
    made = house.register("a")
    assert made.client_secret is not None
    assert len(made.client_secret) == 43
    assert made.client.secret_hash == token_hash(made.client_secret)
    assert made.client_secret not in repr(house.provider.clients.find("a"))
    assert house.register("b").client_secret != made.client_secret


def test_a_public_client_has_none(house: ProviderHouse) -> None:
    made = house.register_public()
    assert made.client_secret is None
    assert made.client.secret_hash is None


def test_an_id_is_made_where_none_is_given(house: ProviderHouse) -> None:
    made = house.register("ignored", client_id=None)
    assert len(made.client.client_id) == 22
    assert house.provider.clients.find(made.client.client_id) == made.client


def test_a_registration_is_audited(house: ProviderHouse) -> None:
    with house.database.read() as tx:
        event = house.audit.recent(tx)[0]
    assert (event.name, event.actor, event.subject) == ("client.registered", "operator:1", "client:rp")


def test_a_refused_registration_writes_nothing(house: ProviderHouse) -> None:
    before = len(house.events())
    with pytest.raises(RegistrationRefused) as refused:
        house.register("bad", redirect_uris=("http://rp.example/",), scopes=("profile",))
    assert len(refused.value.faults) == 2
    with pytest.raises(ClientExists):
        house.register("rp")
    assert house.count(client_table) == 1
    assert len(house.events()) == before


def test_the_cache_is_bounded(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CACHE_SIZE", 2)
    for name in ("a", "b", "c"):
        house.register(name)
        assert house.provider.clients.find(name) is not None
    assert len(house.provider.clients._cache) <= 2
    for n in range(10):
        assert house.provider.clients.find(f"nobody-{n}") is None
    assert len(house.provider.clients._cache) <= 2


def test_a_deleted_client_is_gone_within_a_second(house: ProviderHouse) -> None:
    assert house.provider.clients.find("rp") is not None
    with house.database.write() as tx:
        tx._connection.execute("DELETE FROM client")
    house.pass_time(seconds=1)
    assert house.provider.clients.find("rp") is None
    assert house.provider.clients.find("rp") is None


NATIVE_URIS = ("http://127.0.0.1/callback", "http://[::1]:7777/callback?x=1")


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:51234/callback",
        "http://[::1]:9/callback?x=1",
        "http://[::1]/callback?x=1",
    ],
)
def test_a_native_client_may_use_any_loopback_port(house: ProviderHouse, uri: str) -> None:
    """RFC 8252 s7.3"""
    native = house.register(
        "n", application_type=ApplicationType.NATIVE, redirect_uris=NATIVE_URIS, sector_identifier="n.example"
    )
    assert native.client.accepts_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:51234/callback",
        "http://127.0.0.1:51234/callback/",
        "http://127.0.0.1:51234/callback?x=1",
        "http://127.0.0.1:51234/callback#x",
        "https://127.0.0.1:51234/callback",
        "http://127.0.0.1:x/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:080/callback",
        "http://127.0.0.1:99999/callback",
        "http://user@127.0.0.1:51234/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.2:51234/callback",
        "http://2130706433/callback",
        "HTTP://127.0.0.1:51234/callback",
        "http://127.0.0.1:51234\\@evil.example/callback",
        "http://[::1:51234/callback?x=1",
        "http://[0:0:0:0:0:0:0:1]:9/callback?x=1",
        "http://127.0.0.1\t:51234/callback",
    ],
)
def test_and_nothing_else_by_that(house: ProviderHouse, uri: str) -> None:
    native = house.register(
        "n", application_type=ApplicationType.NATIVE, redirect_uris=NATIVE_URIS, sector_identifier="n.example"
    )
    assert not native.client.accepts_redirect_uri(uri)


def test_a_web_client_may_not(house: ProviderHouse) -> None:
    web = house.register("w", redirect_uris=("http://127.0.0.1:3000/callback",))
    assert web.client.accepts_redirect_uri("http://127.0.0.1:3000/callback")
    assert not web.client.accepts_redirect_uri("http://127.0.0.1:3001/callback")
