"""The authorization endpoint's use cases: begin, and what the login and consent pages call."""

import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.rng import Rng, random_token
from idp.authorize.checks import Draft, UnverifiedParameters, read_request, verify_client_and_redirect_uri
from idp.authorize.errors import (
    InteractionExpired,
    InteractionMovedOn,
    InteractionNotFound,
    WrongBrowser,
    WrongSession,
)
from idp.authorize.model import (
    INTERACTION_TTL_S,
    AuthorizationRequest,
    ConsentNeeded,
    Interaction,
    InteractionStarted,
    InteractionState,
    Prompt,
    Redirect,
)
from idp.authorize.ports import Consents
from idp.authorize.responses import AuthorizationResponses
from idp.authorize.store import InteractionStore
from idp.clients.service import ClientRegistry
from idp.oauth.errors import (
    AccessDenied,
    ConsentRequired,
    LoginRequired,
    OAuthError,
    UnmetAuthenticationRequirements,
)
from idp.oauth.hashing import token_hash
from idp.oauth.incidents import Incidents
from idp.oauth.subjects import PairwiseSubjects
from idp.provider_keys.hints import IdTokenHints
from idp.sessions.model import Session
from idp.sessions.service import SessionService
from idp.token.codes import AuthorizationCodes
from idp.token.model import CodeGrant

_TTL = timedelta(seconds=INTERACTION_TTL_S)


class AuthorizeService:
    """From a request to a code. Of any number of tabs, threads and nodes, one gets the code of an interaction."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rng: Rng,
        *,
        registry: ClientRegistry,
        sessions: SessionService,
        consents: Consents,
        codes: AuthorizationCodes,
        subjects: PairwiseSubjects,
        hints: IdTokenHints,
        audit: AuditLog,
        incidents: Incidents,
        issuer: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._rng = rng
        self._registry = registry
        self._sessions = sessions
        self._consents = consents
        self._codes = codes
        self._subjects = subjects
        self._hints = hints
        self._audit = audit
        self._incidents = incidents
        self._responses = AuthorizationResponses(issuer)
        self._store = InteractionStore()

    def begin(
        self,
        parameters: UnverifiedParameters,
        session_token: str | None,
        browser_token: str,
        *,
        request_id: str = "",
    ) -> Redirect | InteractionStarted:
        """A code where a live session and earlier consent suffice, an error, or an interaction for this browser.

        session_token, browser_token: the cookies' values, untrusted.
        Raises: UnknownClient, RedirectUriRefused, which must not be redirected; every other error is a Redirect.
        """
        client, redirect_uri = verify_client_and_redirect_uri(parameters, self._registry)
        draft = Draft(parameters.fields, parameters.repeated, client, redirect_uri, self._hints)
        try:
            request = read_request(draft)
            return self._answer(request, session_token, browser_token)
        except Exception as error:  # noqa: BLE001  the relying party hears of all of them; the log has the whole
            refusal = self._incidents.as_oauth_error(error, request_id)
        return Redirect(self._responses.error(redirect_uri, draft.state, refusal))

    def interaction(self, interaction_id: str, browser_token: str | None) -> Interaction:
        """The undecided interaction of this browser.

        Raises: InteractionNotFound, WrongBrowser, InteractionExpired, InteractionMovedOn (it has its answer already).
        """
        with self._database.read() as tx:
            found = self._store.by_key(tx, interaction_id, interaction_key(interaction_id))
        if found is None:
            raise InteractionNotFound
        interaction, browser_hash = found
        if not browser_token or not hmac.compare_digest(browser_hash, token_hash(browser_token)):
            raise WrongBrowser(interaction.key)
        if interaction.state is InteractionState.DECIDED:
            raise InteractionMovedOn(interaction.key)
        if self._clock() >= interaction.expires_at:
            raise InteractionExpired(interaction.key)
        return interaction

    def authenticated(
        self, interaction: Interaction, session: Session, *, request_id: str = ""
    ) -> Redirect | ConsentNeeded:
        """`authenticated_in` in a transaction of its own."""
        with self._database.write() as tx:
            return self.authenticated_in(tx, interaction, session, request_id=request_id)

    def authenticated_in(
        self, tx: Transaction, interaction: Interaction, session: Session, *, request_id: str = ""
    ) -> Redirect | ConsentNeeded:
        """The session answers the interaction: a code where consent was given before, an error, or on to consent.

        Meant for the transaction that starts the session. Raises: InteractionMovedOn, WrongSession.
        """
        now = self._clock()
        request = interaction.request
        if not interaction.is_met_by(session, now):
            if request.is_strong_enough(session):
                raise WrongSession("the login is older than the request allows")
            return self._refuse_in(tx, interaction, UnmetAuthenticationRequirements("acr"), now, request_id)
        if not self._is_expected(request, session):
            return self._refuse_in(tx, interaction, LoginRequired("another person logged in"), now, request_id)
        if not self._store.authenticate(tx, interaction.key, session.id, now):
            is_same = interaction.state is InteractionState.AUTHENTICATED and interaction.session_id == session.id
            if not is_same:
                raise InteractionMovedOn(interaction.key)
        if not self._has_consent(tx, request, session):
            return ConsentNeeded(f"/interaction/{interaction.id}/consent")
        self._decide_in(tx, interaction, session, now)
        return self._code(tx, request, session, now)

    def decide(self, interaction: Interaction, session: Session, allow: bool, *, request_id: str = "") -> Redirect:
        """The person allowed or denied what is asked. Raises: WrongSession, InteractionMovedOn."""
        if interaction.session_id != session.id:
            raise WrongSession("another login")
        now = self._clock()
        request = interaction.request
        with self._database.write() as tx:
            self._decide_in(tx, interaction, session, now)
            if not self._sessions.is_open(tx, session.id, session.certificate_id, now):
                refusal: OAuthError = LoginRequired("the login ended")
            elif not allow:
                refusal = AccessDenied("the person declined")
            else:
                self._consents.grant(tx, session.person_id, request.client_id, request.scope, request.claims)
                self._record(tx, "consent.granted", Outcome.OK, session, request, request_id, "")
                return self._code(tx, request, session, now)
            self._record(tx, "consent.refused", Outcome.REFUSED, session, request, request_id, refusal.error)
        return Redirect(self._responses.error(request.redirect_uri, request.state, refusal))

    def abort(self, interaction: Interaction, error: str, description: str, *, request_id: str = "") -> Redirect:
        """The interaction ends with this error at the relying party. Raises: InteractionMovedOn."""
        request = interaction.request
        with self._database.write() as tx:
            self._abort_in(tx, interaction, error, self._clock(), request_id)
        return Redirect(self._responses.error_named(request.redirect_uri, request.state, error, description))

    def forget_expired(self) -> int:
        """Deletes interactions that expired an hour ago or longer."""
        with self._database.write() as tx:
            return self._store.forget(tx, self._clock() - timedelta(hours=1))

    def _answer(
        self, request: AuthorizationRequest, session_token: str | None, browser_token: str
    ) -> Redirect | InteractionStarted:
        now = self._clock()
        with self._database.write() as tx:
            session = self._sessions.find_in(tx, session_token, now)
            if session is not None and self._suffices(request, session, now):
                if self._has_consent(tx, request, session):
                    return self._code(tx, request, session, now)
            else:
                session = None
            if Prompt.NONE not in request.prompt:
                return self._start(tx, request, session, browser_token, now)
        # A session whose certificate is no longer good was ended above, and stays so: only then the refusal.
        if session is None:
            raise LoginRequired("no login that suffices")
        raise ConsentRequired("consent was not given before")

    def _suffices(self, request: AuthorizationRequest, session: Session, now: datetime) -> bool:
        return (
            not request.wants_fresh_login() and request.is_met_by(session, now) and self._is_expected(request, session)
        )

    def _is_expected(self, request: AuthorizationRequest, session: Session) -> bool:
        """Whether the session is of the person that the request is about, if it says so."""
        if request.expected_sub is None:
            return True
        return self._subjects.sub(request.sector_identifier, session.person_id) == request.expected_sub

    def _has_consent(self, tx: Transaction, request: AuthorizationRequest, session: Session) -> bool:
        return Prompt.CONSENT not in request.prompt and self._consents.granted(
            tx, session.person_id, request.client_id, request.scope, request.claims
        )

    def _code(self, tx: Transaction, request: AuthorizationRequest, session: Session, now: datetime) -> Redirect:
        grant = CodeGrant.of(
            session,
            client_id=request.client_id,
            redirect_uri=request.redirect_uri,
            code_challenge=request.code_challenge,
            scope=request.scope,
            nonce=request.nonce,
            id_token_claims=request.id_token_claims,
            userinfo_claims=request.userinfo_claims,
        )
        code = self._codes.issue(tx, grant, now)
        return Redirect(self._responses.code(request.redirect_uri, request.state, code))

    def _start(
        self, tx: Transaction, request: AuthorizationRequest, session: Session | None, browser_token: str, now: datetime
    ) -> InteractionStarted:
        interaction_id = random_token(self._rng)
        interaction = Interaction(
            id=interaction_id,
            key=interaction_key(interaction_id),
            request=request,
            state=InteractionState.STARTED if session is None else InteractionState.AUTHENTICATED,
            session_id=None if session is None else session.id,
            created_at=now,
            expires_at=now + _TTL,
        )
        self._store.add(tx, interaction, token_hash(browser_token))
        return InteractionStarted(interaction_id, interaction.path)

    def _decide_in(self, tx: Transaction, interaction: Interaction, session: Session, now: datetime) -> None:
        if not self._store.decide(tx, interaction.key, session.id, now):
            raise InteractionMovedOn(interaction.key)

    def _refuse_in(
        self, tx: Transaction, interaction: Interaction, refusal: OAuthError, now: datetime, request_id: str
    ) -> Redirect:
        request = interaction.request
        self._abort_in(tx, interaction, refusal.error, now, request_id)
        return Redirect(self._responses.error(request.redirect_uri, request.state, refusal))

    def _abort_in(self, tx: Transaction, interaction: Interaction, error: str, now: datetime, request_id: str) -> None:
        if not self._store.abort(tx, interaction.key, now):
            raise InteractionMovedOn(interaction.key)
        self._record(tx, "authorization.refused", Outcome.REFUSED, None, interaction.request, request_id, error)

    def _record(
        self,
        tx: Transaction,
        name: str,
        outcome: Outcome,
        session: Session | None,
        request: AuthorizationRequest,
        request_id: str,
        error: str,
    ) -> None:
        event = AuditEvent(
            name=name,
            actor="anonymous" if session is None else f"person:{session.person_id}",
            outcome=outcome,
            subject=f"client:{request.client_id}",
            request_id=request_id,
            detail={"error": error}
            if error
            else {"scope": " ".join(request.scope), "claims": " ".join(request.claims)},
        )
        self._audit.append(tx, event)


def interaction_key(interaction_id: str) -> str:
    """What an interaction is stored and referred to by: SHA-256 of its id, base64url, 43 characters."""
    return urlsafe_b64encode(token_hash(interaction_id)).rstrip(b"=").decode("ascii")
