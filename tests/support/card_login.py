"""A login house for tests: real statements, sessions, audit log and keys; interactions and the CA's word are fakes."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256, sha384
from urllib.parse import urlencode

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.types import ASGIApp

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
from ca_core.statement import LocalText, SignedStatement, StatementIssuer
from ca_core.statement.store import evidence as evidence_table
from ca_core.statement.store import statements as statements_table
from ca_core.validation.errors import CertificateRefused, CertificateUnknownIssuer
from idp import authn, messages
from idp.authn import web as authn_web
from idp.authn.card import web as card_web
from idp.authn.card.ports import LoginCertificates
from idp.authn.card.service import CardLoginService
from idp.authn.door import Door
from idp.authn.entry import Entry
from idp.authorize.errors import InteractionExpired, InteractionMovedOn, InteractionNotFound, WrongBrowser
from idp.authorize.model import AuthorizationRequest, ConsentNeeded, Interaction, InteractionState, Redirect
from idp.clients.model import ApplicationType, Client, TokenEndpointAuthMethod
from idp.consent import web as consent_web
from idp.oauth.algorithms import SigningAlgorithm
from idp.sessions.model import Session
from idp.sessions.service import SessionService
from idp.sessions.store import login_session
from support.fakes import FakeClock, SeededRng

ORIGIN = "http://localhost:8000"
BRIDGE = "http://127.0.0.1:61161"
BROWSER = "browser-token-of-this-test-0123456789abcdefgh"
CSRF_SECRET = b"c" * 32
CALLBACK = "https://tax.example/callback"
CLIENT = Client(
    client_id="tax",
    name=LocalText("財政部 綜合所得稅申報", "Ministry of Finance: Income Tax Filing"),
    purpose=LocalText("登入綜合所得稅線上申報系統，查詢與申報您的所得", "Log in to file your income tax return online"),
    application_type=ApplicationType.WEB,
    redirect_uris=(CALLBACK,),
    post_logout_redirect_uris=(),
    token_endpoint_auth_method=TokenEndpointAuthMethod.CLIENT_SECRET_BASIC,
    secret_hash=bytes(32),
    scopes=("openid", "profile"),
    sector_identifier="tax.example",
    id_token_signed_response_alg=SigningAlgorithm.ES256,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeLoginCertificate:
    certificate_id: int
    person_id: str
    public_key: object
    status_source: str = "database"
    status_age_s: int = 0
    not_after: datetime = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Card:
    """A card's authentication key and its certificate."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: bytes

    def token(
        self, nonce: str, *, origin: str = ORIGIN, algorithm: str | None = None, **changes: object
    ) -> dict[str, object]:
        """The Web eID token that a bridge would make; `changes` replace members afterwards."""
        chosen = algorithm or self.algorithm
        made = {
            "unverifiedCertificate": b64encode(self.certificate).decode(),
            "algorithm": chosen,
            "signature": b64encode(sign(self.key, chosen, origin, nonce)).decode(),
            "format": "web-eid:1.0",
            "appVersion": "https://web-eid.eu/web-eid-app/releases/2.5.0+0",
        }
        return made | changes

    @property
    def algorithm(self) -> str:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return "RS256"
        return "ES256" if self.key.curve.key_size == 256 else "ES384"


def sign(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: str, origin: str, nonce: str) -> bytes:
    """The signature over hash(origin) || hash(nonce), as the Web eID format has it."""
    digest = sha384 if algorithm.endswith("384") else sha256
    octets = digest(origin.encode()).digest() + digest(nonce.encode()).digest()
    if isinstance(key, rsa.RSAPrivateKey):
        if algorithm == "PS256":
            return key.sign(octets, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        return key.sign(octets, padding.PKCS1v15(), SHA256())
    der = key.sign(octets, ec.ECDSA(SHA384() if algorithm.endswith("384") else SHA256()))
    size = key.curve.key_size // 8
    return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(der))


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One RSA-2048 key for the run."""
    return rsa.generate_private_key(65537, 2048)


class SmallCa:
    """A CA in memory, and what it says about certificates: the fake of validation."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._known: dict[bytes, FakeLoginCertificate] = {}
        self.refusals: dict[bytes, type[CertificateRefused]] = {}

    def card(
        self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None, person_id: str = "person-1"
    ) -> Card:
        own_key = key or ec.generate_private_key(ec.SECP256R1())
        der = self._certificate(own_key).public_bytes(Encoding.DER)
        self._known[der] = FakeLoginCertificate(
            certificate_id=len(self._known) + 1, person_id=person_id, public_key=own_key.public_key()
        )
        return Card(own_key, der)

    def verify_for_login(self, tx: Transaction, unverified_certificate: bytes) -> FakeLoginCertificate:
        if unverified_certificate in self.refusals:
            raise self.refusals[unverified_certificate]
        found = self._known.get(unverified_certificate)
        if found is None:
            raise CertificateUnknownIssuer
        return found

    def _certificate(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a citizen")])
        start = datetime(2026, 1, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(start).not_valid_after(start + timedelta(days=365)).sign(self._key, SHA256())


@dataclass
class FakeInteractions:
    """Interactions in memory, with the rules of the real ones."""

    clock: FakeClock
    live: dict[str, Interaction] = field(default_factory=dict)
    aborted: list[tuple[str, str]] = field(default_factory=list)
    needs_consent: bool = True
    callback: str = CALLBACK

    def begin(self, interaction_id: str = "interaction-1", **asked: object) -> Interaction:
        request = replace(
            AuthorizationRequest(
                client_id="tax",
                redirect_uri=self.callback,
                scope=("openid", "profile"),
                state="s",
                nonce="n",
                code_challenge="c" * 43,
                sector_identifier="tax.example",
            ),
            **asked,  # type: ignore[arg-type] # the dataclass checks the names
        )
        made = Interaction(
            id=interaction_id,
            key=sha256(interaction_id.encode()).hexdigest()[:43],
            request=request,
            state=InteractionState.STARTED,
            session_id=None,
            created_at=self.clock(),
            expires_at=self.clock() + timedelta(seconds=600),
        )
        self.live[interaction_id] = made
        return made

    def interaction(self, interaction_id: str, browser_token: str) -> Interaction:
        found = self.live.get(interaction_id)
        if found is None:
            raise InteractionNotFound
        if browser_token != BROWSER:
            raise WrongBrowser
        if found.expires_at <= self.clock():
            raise InteractionExpired
        return found

    def authenticated_in(
        self, tx: Transaction, interaction: Interaction, session: Session, *, request_id: str = ""
    ) -> Redirect | ConsentNeeded:
        moved = replace(interaction, state=InteractionState.AUTHENTICATED, session_id=session.id)
        self.live[interaction.id] = moved
        return ConsentNeeded(moved.path) if self.needs_consent else Redirect(f"{self.callback}?code=c")

    def decide(self, interaction: Interaction, session: Session, allow: bool, *, request_id: str = "") -> Redirect:
        if session.id != interaction.session_id:
            raise InteractionMovedOn
        self.live[interaction.id] = replace(interaction, state=InteractionState.DECIDED)
        return Redirect(f"{self.callback}?{urlencode({'code': 'c'} if allow else {'error': 'access_denied'})}")

    def abort(self, interaction: Interaction, error: str, description: str, *, request_id: str = "") -> Redirect:
        self.aborted.append((error, description))
        del self.live[interaction.id]
        return Redirect(f"{self.callback}?{urlencode({'error': error})}")


class FakePersons:
    def __init__(self) -> None:
        self.ids = {"person-1", "person-2"}

    def find(self, tx: Transaction, person_id: str) -> object | None:
        return person_id if person_id in self.ids else None


class FakeClients:
    def __init__(self) -> None:
        self.all = {CLIENT.client_id: CLIENT}

    def find(self, client_id: str) -> Client | None:
        return self.all.get(client_id)


class GoodCertificates:
    def is_good(self, tx: Transaction, certificate_id: int, latest_change: str) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows there are of what a login writes."""

    sessions: int
    evidence: int
    redeemed: int


class LoginHouse:
    """Everything a card login touches, on one database."""

    def __init__(
        self,
        database: Database,
        clock: FakeClock,
        rng: SeededRng,
        origin: str = ORIGIN,
        certificates: LoginCertificates | None = None,
    ) -> None:
        self.database, self.clock, self.rng = database, clock, rng
        self.ca = SmallCa()
        self.interactions = FakeInteractions(clock)
        self.persons, self.clients = FakePersons(), FakeClients()
        self.sessions = SessionService(database, clock, rng, GoodCertificates())
        self.audit = AuditLog(clock, rng)
        key = ec.generate_private_key(ec.SECP256R1())
        self.issuer = StatementIssuer(key, "statement-1", issuer=origin, clock=clock, rng=rng)
        self.service = CardLoginService(
            database,
            clock,
            origin=origin,
            issuer=self.issuer,
            certificates=certificates or self.ca,
            persons=self.persons,
            sessions=self.sessions,
            interactions=self.interactions,
            clients=self.clients,
            audit=self.audit,
        )

    def entry(self, interaction_id: str = "interaction-1") -> Entry:
        return Entry(interaction_id=interaction_id, browser_token=BROWSER)

    def challenge(self, interaction_id: str = "interaction-1") -> SignedStatement:
        return self.service.challenge(self.entry(interaction_id))

    def rows(self) -> Rows:
        with self.database.read() as tx:
            counts = [int((tx.one_or_none(count) or (0,))[0]) for count in (SESSIONS, EVIDENCE, REDEEMED)]
        return Rows(sessions=counts[0], evidence=counts[1], redeemed=counts[2])

    def events(self) -> list[tuple[str, str, Mapping[str, object]]]:
        """Name, outcome and detail of every audit event, oldest first."""
        with self.database.read() as tx:
            recorded = self.audit.recent(tx)
        return [(event.name, event.outcome.value, json.loads(event.detail)) for event in reversed(recorded)]


SESSIONS = Statement(select(func.count().label("n")).select_from(login_session))
EVIDENCE = Statement(select(func.count().label("n")).select_from(evidence_table))
REDEEMED = Statement(
    select(func.count().label("n")).select_from(statements_table).where(statements_table.c.redeemed_at.is_not(None))
)


def login_app(house: LoginHouse, issuer: str = ORIGIN, bridge_origin: str = BRIDGE) -> RequestId:
    """The login and consent pages as a server has them."""
    cookies = CookieNames(issuer)
    assets = Assets([OWN_STATIC, authn.STATIC])
    pages = Pages(
        Catalogues.load([OWN_MESSAGES, messages.FOLDER]),
        [authn.TEMPLATES, consent_web.TEMPLATES],
        assets=assets,
        cookies=cookies,
    )
    door = Door(cookies, Csrf(CSRF_SECRET), issuer)
    hop = Hop(house.database)
    routes = [
        *card_web.routes(house.service, door=door, pages=pages, cookies=cookies, hop=hop),
        *authn_web.routes(
            house.interactions, house.clients, door=door, pages=pages, hop=hop, bridge_origin=bridge_origin
        ),
        *consent_web.routes(
            house.interactions, house.clients, house.sessions, door=door, pages=pages, cookies=cookies, hop=hop
        ),
        *assets.routes(),
    ]
    app = Starlette(routes=routes, exception_handlers=Failures(pages).handlers())
    return RequestId(SecurityHeaders(app, https=issuer.startswith("https")), rng=house.rng)


def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    browser: str | None = BROWSER,
    session: str | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    json_body: object = None,
    content: bytes | None = None,
) -> httpx2.Response:
    """One request to an app in this process, with this browser's cookies."""
    cookies = {"citizenid-browser-8000": browser, "citizenid-session-8000": session}
    pairs = [f"{name}={value}" for name, value in cookies.items() if value]
    extra = dict(headers or {})
    if "cookie" in extra:
        pairs.append(extra.pop("cookie"))

    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            return await client.request(
                method, path, headers={"cookie": "; ".join(pairs), **extra}, data=form, json=json_body, content=content
            )

    return asyncio.run(send())


def csrf_token(browser: str = BROWSER) -> str:
    """What this browser's pages carry."""
    return Csrf(CSRF_SECRET).token(browser)
