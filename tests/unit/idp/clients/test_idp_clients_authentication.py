"""Client authentication: exactly one method, the registered one."""

from base64 import b64encode
from collections.abc import Iterator

import pytest

from ca_core.kernel.database import Database
from idp.clients.authentication import ClientAuthenticator, parse_basic
from idp.clients.model import RegisteredClient, TokenEndpointAuthMethod
from idp.oauth.errors import InvalidClient, InvalidRequest
from support.fakes import FakeClock, SeededRng
from support.openid_provider import ProviderHouse, basic


@pytest.fixture
def house(sqlite_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[ProviderHouse]:
    database = Database.open(sqlite_database_url)
    yield ProviderHouse(database, clock, rng)
    database.dispose()


@pytest.fixture
def authenticator(house: ProviderHouse) -> ClientAuthenticator:
    return ClientAuthenticator(house.provider.clients)


@pytest.fixture
def clients(house: ProviderHouse) -> dict[str, RegisteredClient]:
    method = TokenEndpointAuthMethod.CLIENT_SECRET_POST
    return {
        "basic": house.rp,
        "post": house.register("post", token_endpoint_auth_method=method),
        "none": house.register_public("none"),
    }


def presented(kind: str, client_id: str, secret: str | None) -> tuple[str | None, dict[str, str]]:
    """The request of a client that uses this method."""
    if kind == "basic":
        return basic(client_id, secret or ""), {}
    if kind == "post":
        return None, {"client_id": client_id, "client_secret": secret or "x"}
    return None, {"client_id": client_id}


@pytest.mark.parametrize("kind", ["basic", "post", "none"])
@pytest.mark.parametrize("registered", ["basic", "post", "none"])
def test_the_registered_method_and_no_other(
    authenticator: ClientAuthenticator, clients: dict[str, RegisteredClient], kind: str, registered: str
) -> None:
    who = clients[registered]
    request = presented(kind, who.client.client_id, who.client_secret)
    if kind == registered:
        assert authenticator.authenticate(*request) == who.client
    else:
        with pytest.raises(InvalidClient):
            authenticator.authenticate(*request)


@pytest.mark.parametrize("secret", ["", "x", "wrong-secret-of-forty-three-characters-0123456", "\udcff", "密碼"])
@pytest.mark.parametrize("kind", ["basic", "post"])
def test_a_wrong_secret(
    authenticator: ClientAuthenticator, clients: dict[str, RegisteredClient], kind: str, secret: str
) -> None:
    if kind == "basic" and secret == "\udcff":
        secret = "\ufffd"
    with pytest.raises(InvalidClient) as refused:
        authenticator.authenticate(*presented(kind, clients[kind].client.client_id, secret))
    assert refused.value.basic_challenge is (kind == "basic")


def test_an_unknown_client_and_a_wrong_secret_look_the_same(authenticator: ClientAuthenticator) -> None:
    answers = set()
    for client_id in ("rp", "nobody"):
        with pytest.raises(InvalidClient) as refused:
            authenticator.authenticate(basic(client_id, "wrong"), {})
        answers.add((refused.value.description, refused.value.status))
    assert len(answers) == 1


def test_two_methods_at_once(authenticator: ClientAuthenticator, house: ProviderHouse) -> None:
    secret = house.rp.client_secret or ""
    with pytest.raises(InvalidRequest):
        authenticator.authenticate(basic("rp", secret), {"client_id": "rp", "client_secret": secret})
    with pytest.raises(InvalidRequest):
        authenticator.authenticate(basic("rp", secret), {"client_id": "other"})
    assert authenticator.authenticate(basic("rp", secret), {"client_id": "rp"}) == house.rp.client


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic cnA",
        "Bearer abc",
        "Digest x",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b":secret").decode(),
        "Basic " + b64encode("rp:密".encode()).decode(),
        "Basic " + b64encode(b"rp:%FF").decode(),
        "Basic " + "A" * 3_000,
    ],
)
def test_malformed_headers(header: str) -> None:
    with pytest.raises(InvalidClient) as refused:
        parse_basic(header)
    assert refused.value.basic_challenge


def test_both_parts_are_form_urlencoded() -> None:
    """RFC 6749 s2.3.1; a colon or a plus in either would be ambiguous otherwise."""
    assert parse_basic("Basic " + b64encode(b"a%3Ab+c:d%3Ae%2Bf+g").decode()) == ("a:b c", "d:e+f g")
    assert parse_basic("bAsIc " + b64encode(b"rp:x:y").decode()) == ("rp", "x:y")
