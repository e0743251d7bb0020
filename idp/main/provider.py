"""The OpenID Provider's services and routes, over a certification authority's."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from starlette.routing import BaseRoute

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.settings import read_secret
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import Csrf
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.statement.issuer import StatementIssuer
from idp import messages
from idp.authn import web as login_web
from idp.authn.card import web as card_web
from idp.authn.card.service import CardLoginService
from idp.authn.door import Door
from idp.authorize import web as authorize_web
from idp.authorize.service import AuthorizeService
from idp.claims.service import PersonClaims
from idp.clients.authentication import ClientAuthenticator
from idp.clients.service import ClientRegistry
from idp.consent import web as consent_web
from idp.consent.service import ConsentService
from idp.discovery import web as discovery_web
from idp.logout import web as logout_web
from idp.logout.service import LogoutService
from idp.main.adapters import GoodCertificates, IssuedCertificates, LoginCertificates, RegisteredPersons
from idp.main.authority import CertificationAuthority
from idp.oauth.incidents import Incidents
from idp.oauth.subjects import PairwiseSubjects
from idp.provider_keys.hints import IdTokenHints
from idp.provider_keys.loading import load_token_keys
from idp.provider_keys.service import key_id
from idp.sessions.service import SessionService
from idp.token import web as token_web
from idp.token.access_tokens import AccessTokens
from idp.token.codes import AuthorizationCodes
from idp.token.id_token import IdTokenIssuer
from idp.token.service import TokenService
from idp.userinfo import web as userinfo_web
from idp.userinfo.service import UserInfoService

_IDP = Path(login_web.__file__).parents[1]
_TEMPLATES = [_IDP / "authn" / "templates", _IDP / "consent" / "templates"]
_STATIC = [OWN_STATIC, _IDP / "authn" / "static"]


class Provider:
    """Every service of the OpenID Provider. Raises: ConfigurationError, KeyNotFound."""

    def __init__(self, ca: CertificationAuthority) -> None:
        settings = ca.settings
        if settings.csrf_secret_file is None or settings.pairwise_secret_file is None:
            raise ConfigurationError("csrf_secret_file, pairwise_secret_file: are missing")
        self.issuer = settings.issuer
        self._ca = ca
        self.hop = Hop(ca.database)
        self.csrf = Csrf(read_secret(settings.csrf_secret_file))
        self.cookies = CookieNames(self.issuer)
        self.assets = Assets(_STATIC)
        catalogues = Catalogues.load([OWN_MESSAGES, messages.FOLDER])
        self.pages = Pages(catalogues, _TEMPLATES, assets=self.assets, cookies=self.cookies)
        self.incidents = Incidents(ca.rng)
        self.registry = ClientRegistry(ca.database, ca.clock, ca.rng, ca.audit)
        self.token_keys = load_token_keys(ca.key_store)
        statement_key = self._statement_key(settings.statement_key_label)
        self._statement_public_key = statement_key.public_key()
        kid = key_id(self._statement_public_key)
        self.statements = StatementIssuer(statement_key, kid, issuer=self.issuer, clock=ca.clock, rng=ca.rng)
        subjects = PairwiseSubjects(read_secret(settings.pairwise_secret_file))
        hints = IdTokenHints(self.token_keys, self.issuer)
        good = GoodCertificates(ca.certificates, ca.clock)
        self.sessions = SessionService(ca.database, ca.clock, ca.rng, good)
        codes, access_tokens = AuthorizationCodes(ca.rng), AccessTokens(ca.rng)
        claims = PersonClaims(ca.registration(), IssuedCertificates(ca.database, ca.certificates))
        self.authorize = AuthorizeService(
            ca.database,
            ca.clock,
            ca.rng,
            registry=self.registry,
            sessions=self.sessions,
            consents=ConsentService(ca.clock),
            codes=codes,
            subjects=subjects,
            hints=hints,
            audit=ca.audit,
            incidents=self.incidents,
            issuer=self.issuer,
        )
        self.tokens = TokenService(
            ca.database,
            ca.clock,
            authenticator=ClientAuthenticator(self.registry),
            codes=codes,
            access_tokens=access_tokens,
            sessions=self.sessions,
            id_tokens=IdTokenIssuer(self.issuer, self.token_keys, subjects),
            claims=claims,
            audit=ca.audit,
        )
        self.users = UserInfoService(
            ca.database,
            ca.clock,
            access_tokens=access_tokens,
            sessions=self.sessions,
            registry=self.registry,
            subjects=subjects,
            claims=claims,
        )
        self.logout = LogoutService(
            ca.database,
            ca.clock,
            registry=self.registry,
            sessions=self.sessions,
            subjects=subjects,
            hints=hints,
            audit=ca.audit,
        )
        self.card_login = CardLoginService(
            ca.database,
            ca.clock,
            origin=self.issuer,
            issuer=self.statements,
            certificates=LoginCertificates(ca.login_validator()),
            persons=RegisteredPersons(),
            sessions=self.sessions,
            interactions=self.authorize,
            clients=self.registry,
            audit=ca.audit,
        )

    def routes(self) -> list[BaseRoute]:
        """Every endpoint and page of the provider."""
        hop, pages, cookies = self.hop, self.pages, self.cookies
        door = Door(cookies, self.csrf, self.issuer)
        rng = self._ca.rng
        return [
            *authorize_web.routes(
                self.authorize, cookies=cookies, pages=pages, hop=hop, rng=rng, incidents=self.incidents
            ),
            *token_web.routes(self.tokens, hop=hop, incidents=self.incidents),
            *userinfo_web.routes(self.users, hop=hop, incidents=self.incidents),
            *card_web.routes(self.card_login, door=door, pages=pages, cookies=cookies, hop=hop),
            *login_web.routes(
                self.authorize,
                self.registry,
                door=door,
                pages=pages,
                hop=hop,
                bridge_origin=self._ca.settings.bridge_origin,
            ),
            *consent_web.routes(
                self.authorize, self.registry, self.sessions, door=door, pages=pages, cookies=cookies, hop=hop
            ),
            *logout_web.routes(
                self.logout, cookies=cookies, csrf=self.csrf, pages=pages, hop=hop, rng=rng, origin=self.issuer
            ),
            *discovery_web.routes(self.issuer, self.jwks()),
            *self.assets.routes(),
        ]

    def jwks(self) -> dict[str, object]:
        """The public keys of tokens and of statements."""
        return self.token_keys.jwks(self._statement_public_key)

    def _statement_key(self, label: str) -> EllipticCurvePrivateKey:
        key = self._ca.key_store.private_key(label)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ConfigurationError(f"{label} must be a P-256 key")
        return key
