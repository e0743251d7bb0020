"""What an access token opens."""

from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from idp.claims.model import ClaimSubject, ClaimValue
from idp.claims.service import PersonClaims
from idp.clients.service import ClientRegistry
from idp.oauth.errors import InvalidToken
from idp.oauth.scopes import claims_of
from idp.oauth.subjects import PairwiseSubjects
from idp.sessions.service import SessionService
from idp.token.access_tokens import AccessTokens


class UserInfoService:
    """Claims by access token, as long as the login behind it stands."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        access_tokens: AccessTokens,
        sessions: SessionService,
        registry: ClientRegistry,
        subjects: PairwiseSubjects,
        claims: PersonClaims,
    ) -> None:
        self._database = database
        self._clock = clock
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._registry = registry
        self._subjects = subjects
        self._claims = claims

    def userinfo(self, unverified_token: str) -> dict[str, ClaimValue]:
        """`sub` and the claims that scope and `claims` parameter asked for.

        Raises: InvalidToken: unknown, expired, revoked; logged out; certificate no longer good.
        """
        now = self._clock()
        with self._database.read() as tx:
            grant = self._access_tokens.find(tx, unverified_token, now)
            if grant is None or not self._sessions.stands(tx, grant.standing, grant.certificate_id):
                raise InvalidToken("the access token is unknown, expired or revoked")
        client = self._registry.find(grant.client_id)
        if client is None:
            raise InvalidToken("the access token is unknown, expired or revoked", detail="client is gone")
        answer: dict[str, ClaimValue] = {"sub": self._subjects.sub(client.sector_identifier, grant.person_id)}
        names = (*claims_of(grant.scope), *grant.userinfo_claims)
        if names:
            subject = ClaimSubject(
                person_id=grant.person_id,
                certificate_id=grant.certificate_id,
                status_source=grant.status_source,
                status_age_s=grant.status_age_s,
            )
            answer.update(self._claims.values(names, subject, now))
        return answer
