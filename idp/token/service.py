"""Exchanging a code for tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from idp.claims.model import ClaimSubject, ClaimValue
from idp.claims.service import PersonClaims
from idp.clients.authentication import ClientAuthenticator
from idp.clients.model import Client
from idp.oauth.errors import InvalidGrant, InvalidRequest, OAuthError, UnsupportedGrantType
from idp.oauth.hashing import token_hash
from idp.sessions.model import Standing
from idp.sessions.service import SessionService
from idp.token.access_tokens import AccessTokens
from idp.token.codes import AuthorizationCodes
from idp.token.id_token import IdTokenIssuer
from idp.token.model import CodeGrant, TokenResponse
from idp.token.pkce import verify_code_challenge, verify_code_verifier_syntax

_CODE = re.compile(r"[A-Za-z0-9_-]{43}")
GRANT_TYPE = "authorization_code"


@dataclass(frozen=True, slots=True)
class TokenCommand:
    """A well-formed token request; nothing in it is believed yet."""

    code: str
    redirect_uri: str
    code_verifier: str

    @classmethod
    def parse(cls, form: Mapping[str, str]) -> "TokenCommand":
        """Raises: UnsupportedGrantType, InvalidRequest, InvalidGrant. None of them touches the code."""
        grant_type = form.get("grant_type")
        if not grant_type:
            raise InvalidRequest("grant_type is missing")
        if grant_type != GRANT_TYPE:
            raise UnsupportedGrantType(f"grant_type must be {GRANT_TYPE}")
        code, redirect_uri = form.get("code"), form.get("redirect_uri")
        code_verifier = form.get("code_verifier")
        if not code or not redirect_uri or not code_verifier:
            raise InvalidRequest("code, redirect_uri and code_verifier are required")
        verify_code_verifier_syntax(code_verifier)
        if not _CODE.fullmatch(code):
            raise InvalidGrant("code is not one of this provider")
        return cls(code, redirect_uri, code_verifier)


class TokenService:
    """The authorization_code grant.

    The first presentation of a code by its client spends it, whether or not the rest of the request is right. Any
    later one is a second use (RFC 6749 s4.1.2), from whichever thread or node it comes and however close behind: it
    is refused and ends the access token that came of the code. The login itself, session and ID token, stands.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        authenticator: ClientAuthenticator,
        codes: AuthorizationCodes,
        access_tokens: AccessTokens,
        sessions: SessionService,
        id_tokens: IdTokenIssuer,
        claims: PersonClaims,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authenticator = authenticator
        self._codes = codes
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._id_tokens = id_tokens
        self._claims = claims
        self._audit = audit

    def exchange(
        self, authorization: str | None, unverified_form: Mapping[str, str], *, request_id: str = ""
    ) -> TokenResponse:
        """The tokens that a code stands for.

        authorization: the header of that name. Raises: OAuthError.
        """
        form = {name: value for name, value in unverified_form.items() if value}
        client = self._authenticator.authenticate(authorization, form)
        command = TokenCommand.parse(form)
        now = self._clock()
        code_hash, access_token = token_hash(command.code), self._access_tokens.make()
        with self._database.write() as tx:
            redeemed = self._codes.redeem(tx, code_hash, client.client_id, access_token, now)
            if redeemed is None:
                refusal: OAuthError | None = self._not_redeemed(tx, client, code_hash, now, request_id)
            else:
                grant, standing = redeemed
                refusal = self._refusal(tx, grant, standing, command)
                if refusal is None:
                    self._record(tx, "token.issued", Outcome.OK, client, grant, request_id, grant.acr)
                else:
                    self._access_tokens.revoke_by_code(tx, code_hash, now)
                    self._record(tx, "code.refused", Outcome.REFUSED, client, grant, request_id, refusal.description)
        if redeemed is None or refusal is not None:  # only now: what was written above has to stay
            raise refusal or InvalidGrant
        more = self._id_token_claims(grant, now)
        id_token = self._id_tokens.issue(client, grant, access_token, now, more)
        return TokenResponse(access_token, id_token, grant.scope)

    def forget_expired(self) -> int:
        """Deletes codes and tokens that expired a day ago or longer; until then a replay is still told as one."""
        before = self._clock() - timedelta(days=1)
        with self._database.write() as tx:
            return self._codes.forget(tx, before)

    def _refusal(
        self, tx: Transaction, grant: CodeGrant, standing: Standing, command: TokenCommand
    ) -> OAuthError | None:
        """Why the code that was just spent gives no tokens; None where it does."""
        if grant.redirect_uri != command.redirect_uri:
            return InvalidGrant("redirect_uri is not the one of the authorization request")
        try:
            verify_code_challenge(command.code_verifier, grant.code_challenge)
        except InvalidGrant as error:
            return error
        if not self._sessions.stands(tx, standing, grant.certificate_id):
            return InvalidGrant("the login has ended")
        return None

    def _not_redeemed(
        self, tx: Transaction, client: Client, code_hash: bytes, now: datetime, request_id: str
    ) -> OAuthError:
        if self._codes.was_spent(tx, code_hash, client.client_id):
            revoked = self._access_tokens.revoke_by_code(tx, code_hash, now)
            event = AuditEvent(
                name="code.replayed",
                actor=f"client:{client.client_id}",
                outcome=Outcome.REFUSED,
                request_id=request_id,
                detail={"revoked_token": revoked},
            )
            self._audit.append(tx, event)
            return InvalidGrant("code was used before", detail="replay")
        return InvalidGrant("code is unknown or expired")

    def _id_token_claims(self, grant: CodeGrant, now: datetime) -> dict[str, ClaimValue]:
        if not grant.id_token_claims:
            return {}
        subject = ClaimSubject(
            person_id=grant.person_id,
            certificate_id=grant.certificate_id,
            status_source=grant.status_source,
            status_age_s=grant.status_age_s,
        )
        return self._claims.values(grant.id_token_claims, subject, now)

    def _record(
        self,
        tx: Transaction,
        name: str,
        outcome: Outcome,
        client: Client,
        grant: CodeGrant,
        request_id: str,
        detail: str,
    ) -> None:
        key = "acr" if outcome is Outcome.OK else "reason"
        event = AuditEvent(
            name=name,
            actor=f"client:{client.client_id}",
            outcome=outcome,
            subject=f"person:{grant.person_id}",
            request_id=request_id,
            detail={key: detail, "session": grant.session_id},
        )
        self._audit.append(tx, event)
