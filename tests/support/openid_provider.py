"""A whole OpenID Provider for tests but for the pages of login and consent: real services, tables, keys and routes.

The card login is replaced by `house.log_in()`, the consent page by `house.consent()`.
"""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import Table, func, select
from starlette.applications import Starlette

from ca_core.audit.service import AuditLog
from ca_core.kernel.database import Database, Statement, Transaction
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import Csrf
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.security import RequestId, SecurityHeaders
from ca_core.statement import LocalText
from idp import messages
from idp.authn.model import Authentication
from idp.claims.ports import CertificateRecord
from idp.clients.model import ClientRegistration, RegisteredClient, TokenEndpointAuthMethod
from idp.oauth.scopes import SCOPE_CLAIMS
from idp.provider_keys.service import TokenKeys
from idp.sessions.model import Session
from idp.token.store import authorization_grant
from support.asgi import AsgiTransport
from support.fakes import FakeClock, SeededRng
from support.provider_services import Provider, ProviderParts

ISSUER = "https://id.example"
CALLBACK = "https://rp.example/callback"
AFTER_LOGOUT = "https://rp.example/bye"
VERIFIER = "a-code-verifier-of-43-characters-or-more-0123456789"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BROWSER = "b" * 43
EVERY_SCOPE = tuple(SCOPE_CLAIMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakePerson:
    name: str = "王小明"
    birthdate: date = date(1990, 2, 28)
    gender: str = "male"
    email: str | None = None
    phone: str | None = None


@dataclass
class FakePersons:
    known: dict[str, FakePerson] = field(default_factory=lambda: {"person-1": FakePerson(), "person-2": FakePerson()})
    asked_national_ids: list[str] = field(default_factory=list)

    def find(self, person_id: str) -> FakePerson | None:
        return self.known.get(person_id)

    def national_id(self, person_id: str) -> str:
        self.asked_national_ids.append(person_id)
        return "A123456789"


@dataclass
class FakeCertificates:
    """The CA's records and its word on status. bad: ids of certificates that are no longer good."""

    bad: set[int] = field(default_factory=set)

    def find(self, certificate_id: int) -> CertificateRecord | None:
        return CertificateRecord(der=b"DER of %d" % certificate_id, serial=certificate_id)

    def is_good(self, tx: Transaction, certificate_id: int, latest_change: str) -> bool:
        return certificate_id not in self.bad


@cache
def token_keys() -> TokenKeys:
    """One pair of token keys for the run."""
    return TokenKeys(ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048))


@cache
def pages_and_assets() -> tuple[Pages, Assets]:
    """The base layout's pages, loaded once for the run."""
    assets = Assets([OWN_STATIC])
    catalogues = Catalogues.load([OWN_MESSAGES, messages.FOLDER])
    return Pages(catalogues, [], assets=assets, cookies=CookieNames(ISSUER)), assets


@dataclass(frozen=True, slots=True)
class Tokens:
    """A successful answer of the token endpoint."""

    body: Mapping[str, Any]

    @property
    def access_token(self) -> str:
        return str(self.body["access_token"])

    @property
    def id_token(self) -> str:
        return str(self.body["id_token"])

    @property
    def claims(self) -> dict[str, Any]:
        """The ID token's claims, its signature verified."""
        keys = KeySet.import_key_set(token_keys().jwks())  # type: ignore[arg-type] # a JWK set, as a plain dict
        return jwt.decode(self.id_token, keys, algorithms=["ES256", "RS256"]).claims


class ProviderHouse:
    """A provider, a client `rp` that may ask for everything, and one browser."""

    def __init__(self, database: Database, clock: FakeClock, rng: SeededRng) -> None:
        self.database, self.clock, self.rng = database, clock, rng
        self.persons, self.certificates = FakePersons(), FakeCertificates()
        self.audit = AuditLog(clock, rng)
        self.statement_key = ec.generate_private_key(ec.SECP256R1())
        self.provider = Provider(
            ProviderParts(
                issuer=ISSUER,
                database=database,
                clock=clock,
                rng=rng,
                audit=self.audit,
                token_keys=token_keys(),
                statement_keys=(self.statement_key.public_key(),),
                pairwise_secret=b"p" * 32,
                session_certificates=self.certificates,
                persons=self.persons,
                certificates=self.certificates,
            )
        )
        self.cookies = CookieNames(ISSUER)
        self.csrf = Csrf(b"c" * 32)
        self.browser = self.new_browser()
        self.rp = self.register("rp")

    def app(self) -> RequestId:
        pages, assets = pages_and_assets()
        hop = Hop(self.database)
        routes = self.provider.routes(cookies=self.cookies, csrf=self.csrf, pages=pages, hop=hop)
        app = Starlette(routes=[*routes, *assets.routes()], exception_handlers=Failures(pages).handlers())
        return RequestId(SecurityHeaders(app, https=True), rng=self.rng)

    def new_browser(self) -> httpx2.Client:
        """A browser with the provider open, and no cookies."""
        return httpx2.Client(transport=AsgiTransport(self.app()), base_url=ISSUER, follow_redirects=False)

    def register(self, client_id: str, /, **asked: object) -> RegisteredClient:
        given: dict[str, Any] = {
            "client_id": client_id,
            "name": LocalText("報稅網站", "Tax site"),
            "purpose": LocalText("登入報稅", "Log in to file taxes"),
            "redirect_uris": (CALLBACK,),
            "post_logout_redirect_uris": (AFTER_LOGOUT,),
            "scopes": EVERY_SCOPE,
        }
        return self.provider.clients.register(ClientRegistration(**(given | asked)), actor="operator:1")

    def register_public(self, client_id: str = "public", **asked: object) -> RegisteredClient:
        return self.register(client_id, token_endpoint_auth_method=TokenEndpointAuthMethod.NONE, **asked)

    # The citizen

    def authentication(self, person_id: str = "person-1", **changes: object) -> Authentication:
        made: dict[str, Any] = {
            "person_id": person_id,
            "acr": "urn:citizenid:loa:high",
            "amr": ("sc", "pin"),
            "auth_time": self.clock(),
            "certificate_id": 7,
            "method": "card",
            "statement_digest": b"d" * 32,
            "status_source": "database",
            "status_age_s": 0,
        }
        return Authentication(**(made | changes))

    def start_session(self, person_id: str = "person-1", **changes: object) -> tuple[Session, str]:
        with self.database.write() as tx:
            return self.provider.sessions.start(tx, self.authentication(person_id, **changes))

    def log_in(self, person_id: str = "person-1", **changes: object) -> Session:
        """A login in this browser, as a card login leaves it."""
        session, token = self.start_session(person_id, **changes)
        self.set_cookie("session", token)
        return session

    def set_cookie(self, base: str, value: str) -> None:
        self.browser.cookies.set(self.cookies.name(base), value, domain="id.example", path="/")

    def consent(
        self,
        person_id: str = "person-1",
        client_id: str = "rp",
        scope: tuple[str, ...] = ("openid", "profile"),
        claims: tuple[str, ...] = (),
    ) -> None:
        with self.database.write() as tx:
            self.provider.consents.grant(tx, person_id, client_id, scope, claims)

    # The relying party

    def parameters(self, **changes: str | None) -> dict[str, str]:
        """A good authorization request; None takes a parameter out."""
        good: dict[str, str | None] = {
            "client_id": "rp",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile",
            "state": "state-1",
            "nonce": "nonce-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (good | changes).items() if value is not None}

    def authorize(self, **changes: str | None) -> httpx2.Response:
        return self.browser.get("/authorize", params=self.parameters(**changes))

    def code(self, **changes: str | None) -> str:
        """A code by the live session."""
        answer = answer_of(self.authorize(**changes))
        return answer["code"]

    def code_at_once(self, **changes: str | None) -> str:
        """A code, by a new login and earlier consent."""
        self.log_in()
        scope = self.parameters(**changes)["scope"].split()
        self.consent(
            client_id=self.parameters(**changes)["client_id"], scope=tuple(s for s in EVERY_SCOPE if s in scope)
        )
        return self.code(**changes)

    def redeem(
        self,
        code: str,
        /,
        *,
        client: RegisteredClient | None = None,
        headers: Mapping[str, str] | None = None,
        browser: httpx2.Client | None = None,
        **changes: str | None,
    ) -> httpx2.Response:
        """A token request by the client's registered method; None takes a field out."""
        who = client or self.rp
        fields: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        own_headers = dict(headers or {})
        method = who.client.token_endpoint_auth_method
        if headers is None:
            if method is TokenEndpointAuthMethod.CLIENT_SECRET_BASIC:
                own_headers["Authorization"] = basic(who.client.client_id, who.client_secret or "")
            else:
                fields["client_id"] = who.client.client_id
                fields["client_secret"] = who.client_secret
        form = {name: value for name, value in (fields | changes).items() if value is not None}
        return (browser or self.browser).post("/token", data=form, headers=own_headers)

    def tokens(self, *, client: RegisteredClient | None = None, **changes: str | None) -> Tokens:
        """The whole way of a login: session, consent, code, tokens."""
        response = self.redeem(self.code_at_once(**changes), client=client)
        assert response.status_code == 200, response.text
        return Tokens(response.json())

    def userinfo(self, access_token: str) -> httpx2.Response:
        return self.browser.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"})

    # The database

    def count(self, table: Table) -> int:
        with self.database.read() as tx:
            row = tx.one_or_none(Statement(select(func.count().label("n")).select_from(table)))
        return int(row[0]) if row else 0

    def live_tokens(self) -> int:
        """How many access tokens were given out and not revoked, whether or not they expired."""
        issued = authorization_grant.c.token_hash.is_not(None) & authorization_grant.c.revoked_at.is_(None)
        with self.database.read() as tx:
            row = tx.one_or_none(Statement(select(func.count().label("n")).where(issued)))
        return int(row[0]) if row else 0

    def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Name, outcome and detail of every audit event, oldest first."""
        with self.database.read() as tx:
            recorded = self.audit.recent(tx)
        return [(event.name, event.outcome.value, json.loads(event.detail)) for event in reversed(recorded)]

    def pass_time(self, **much: float) -> None:
        self.clock.advance(timedelta(**much).total_seconds())


def answer_of(response: httpx2.Response, redirect_uri: str = CALLBACK) -> dict[str, str]:
    """The parameters of an authorization response that was sent to the relying party."""
    assert response.status_code == 303, response.text
    location = response.headers["location"]
    assert location.startswith(redirect_uri), location
    return dict(parse_qsl(urlsplit(location).query, strict_parsing=True))


def basic(client_id: str, secret: str) -> str:
    """The header of client_secret_basic, form-urlencoded inside."""
    return "Basic " + b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()


def query(parameters: Mapping[str, str]) -> str:
    return urlencode(parameters)
