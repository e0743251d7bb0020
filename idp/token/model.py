"""What a code stands for, what an access token opens, and the answer of the token endpoint."""

from dataclasses import dataclass
from datetime import datetime

from idp.sessions.model import Session, Standing

CODE_TTL_S = 60
ACCESS_TOKEN_TTL_S = 600
ID_TOKEN_TTL_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGrant:
    """What an authorization code stands for: one client, one person, one login, and what may be told."""

    client_id: str
    redirect_uri: str
    code_challenge: str
    scope: tuple[str, ...]
    nonce: str | None
    id_token_claims: tuple[str, ...]
    userinfo_claims: tuple[str, ...]
    session_id: str
    person_id: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    certificate_id: int
    status_source: str
    status_age_s: int

    @classmethod
    def of(
        cls,
        session: Session,
        *,
        client_id: str,
        redirect_uri: str,
        code_challenge: str,
        scope: tuple[str, ...],
        nonce: str | None,
        id_token_claims: tuple[str, ...] = (),
        userinfo_claims: tuple[str, ...] = (),
    ) -> "CodeGrant":
        """The grant that a login gives to a client."""
        return cls(
            client_id=client_id,
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            scope=scope,
            nonce=nonce,
            id_token_claims=id_token_claims,
            userinfo_claims=userinfo_claims,
            session_id=session.id,
            person_id=session.person_id,
            acr=session.acr,
            amr=session.amr,
            auth_time=session.auth_time,
            certificate_id=session.certificate_id,
            status_source=session.status_source,
            status_age_s=session.status_age_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGrant:
    """What an access token opens: the claims of one person for one client, at UserInfo alone.

    standing: of the login behind it, when this was read.
    """

    client_id: str
    person_id: str
    session_id: str
    certificate_id: int
    scope: tuple[str, ...]
    userinfo_claims: tuple[str, ...]
    status_source: str
    status_age_s: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The token endpoint's answer.  Spec: RFC 6749 s5.1, OpenID Connect Core s3.1.3.3."""

    access_token: str
    id_token: str
    scope: tuple[str, ...]

    def to_wire(self) -> dict[str, str | int]:
        return {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_TTL_S,
            "id_token": self.id_token,
            "scope": " ".join(self.scope),
        }
