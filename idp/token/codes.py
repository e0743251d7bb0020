"""Authorization codes: issued by the authorization endpoint, redeemed by the token endpoint at most once."""

from datetime import datetime, timedelta

from ca_core.kernel.database import Transaction
from ca_core.kernel.rng import Rng, random_token
from idp.oauth.hashing import token_hash
from idp.sessions.model import Standing
from idp.token.model import ACCESS_TOKEN_TTL_S, CODE_TTL_S, CodeGrant
from idp.token.store import GrantStore

_CODE_TTL = timedelta(seconds=CODE_TTL_S)
_TOKEN_TTL = timedelta(seconds=ACCESS_TOKEN_TTL_S)


class AuthorizationCodes:
    """Codes of 256 random bits that live for CODE_TTL_S. Every method runs in its caller's transaction."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._store = GrantStore()

    def issue(self, tx: Transaction, grant: CodeGrant, now: datetime) -> str:
        """A new code for this grant."""
        code = random_token(self._rng)
        self._store.add(tx, token_hash(code), grant, now + _CODE_TTL)
        return code

    def redeem(
        self, tx: Transaction, code_hash: bytes, client_id: str, access_token: str, now: datetime
    ) -> tuple[CodeGrant, Standing] | None:
        """Turns the code into this access token, for the first caller alone, and says whether the login stands.

        None where the code is spent, expired, unknown or another client's; then the access token opens nothing.
        """
        return self._store.redeem(
            tx,
            code_hash,
            client_id,
            token_hash=token_hash(access_token),
            token_expires_at=now + _TOKEN_TTL,
            now=now,
        )

    def was_spent(self, tx: Transaction, code_hash: bytes, client_id: str) -> bool:
        """Whether a code that was not redeemed now had been presented by this client before."""
        return self._store.was_redeemed(tx, code_hash, client_id)

    def forget(self, tx: Transaction, before: datetime) -> int:
        """Deletes codes that expired before that moment, with the access tokens they turned into."""
        return self._store.forget(tx, before)
