"""The OpenID Provider's own services and routes, put together without a certification authority or settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from starlette.routing import BaseRoute

from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import Csrf
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.pages import Pages
from idp.authorize import web as authorize_web
from idp.authorize.service import AuthorizeService
from idp.claims.ports import Certificates, Persons
from idp.claims.service import PersonClaims
from idp.clients.authentication import ClientAuthenticator
from idp.clients.service import ClientRegistry
from idp.consent.service import ConsentService
from idp.discovery import web as discovery_web
from idp.logout import web as logout_web
from idp.logout.service import LogoutService
from idp.oauth.incidents import Incidents
from idp.oauth.subjects import PairwiseSubjects
from idp.provider_keys.hints import IdTokenHints
from idp.provider_keys.service import TokenKeys
from idp.sessions.model import SessionLimits
from idp.sessions.ports import SessionCertificates
from idp.sessions.service import SessionService
from idp.token import web as token_web
from idp.token.access_tokens import AccessTokens
from idp.token.codes import AuthorizationCodes
from idp.token.id_token import IdTokenIssuer
from idp.token.service import TokenService
from idp.userinfo import web as userinfo_web
from idp.userinfo.service import UserInfoService


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderParts:
    """What a provider is made of. issuer: without a slash at the end; it is the pages' origin too.

    pairwise_secret: 32 octets or more that must never change, or every relying party sees everybody as new.
    statement_keys: public halves, published in the JWKS for card bridges to pin.
    """

    issuer: str
    database: Database
    clock: Clock
    rng: Rng
    audit: AuditLog
    token_keys: TokenKeys
    statement_keys: Sequence[EllipticCurvePublicKey]
    pairwise_secret: bytes
    session_certificates: SessionCertificates
    persons: Persons
    certificates: Certificates
    session_limits: SessionLimits | None = None


class Provider:
    """The services that pages, command line and worker call, and the routes of the protocol's own endpoints."""

    def __init__(self, parts: ProviderParts) -> None:
        self._parts = parts
        database, clock, rng, audit = parts.database, parts.clock, parts.rng, parts.audit
        self.subjects = PairwiseSubjects(parts.pairwise_secret)
        self.clients = ClientRegistry(database, clock, rng, audit)
        self.sessions = SessionService(database, clock, rng, parts.session_certificates, parts.session_limits)
        self.consents = ConsentService(clock)
        self._incidents = Incidents(rng)
        codes = AuthorizationCodes(rng)
        access_tokens = AccessTokens(rng)
        hints = IdTokenHints(parts.token_keys, parts.issuer)
        claims = PersonClaims(parts.persons, parts.certificates)
        self.authorize = AuthorizeService(
            database,
            clock,
            rng,
            registry=self.clients,
            sessions=self.sessions,
            consents=self.consents,
            codes=codes,
            subjects=self.subjects,
            hints=hints,
            audit=audit,
            incidents=self._incidents,
            issuer=parts.issuer,
        )
        self.tokens = TokenService(
            database,
            clock,
            authenticator=ClientAuthenticator(self.clients),
            codes=codes,
            access_tokens=access_tokens,
            sessions=self.sessions,
            id_tokens=IdTokenIssuer(parts.issuer, parts.token_keys, self.subjects),
            claims=claims,
            audit=audit,
        )
        self.userinfo = UserInfoService(
            database,
            clock,
            access_tokens=access_tokens,
            sessions=self.sessions,
            registry=self.clients,
            subjects=self.subjects,
            claims=claims,
        )
        self.logout = LogoutService(
            database,
            clock,
            registry=self.clients,
            sessions=self.sessions,
            subjects=self.subjects,
            hints=hints,
            audit=audit,
        )

    def routes(self, *, cookies: CookieNames, csrf: Csrf, pages: Pages, hop: Hop) -> list[BaseRoute]:
        """The endpoints, the busiest first: a router tries them in order."""
        parts, incidents = self._parts, self._incidents
        jwks = parts.token_keys.jwks(*parts.statement_keys)
        return [
            *authorize_web.routes(
                self.authorize, cookies=cookies, pages=pages, hop=hop, rng=parts.rng, incidents=incidents
            ),
            *token_web.routes(self.tokens, hop=hop, incidents=incidents),
            *userinfo_web.routes(self.userinfo, hop=hop, incidents=incidents),
            *discovery_web.routes(parts.issuer, jwks),
            *logout_web.routes(
                self.logout, cookies=cookies, csrf=csrf, pages=pages, hop=hop, rng=parts.rng, origin=parts.issuer
            ),
        ]

    def forget_expired(self) -> int:
        """Deletes what expired long ago: for the worker, every few minutes. How many rows that were."""
        return self.authorize.forget_expired() + self.tokens.forget_expired() + self.sessions.forget_expired()
