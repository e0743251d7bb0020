"""Access tokens: opaque, for UserInfo alone, short-lived."""

from datetime import datetime, timedelta

from ca_core.kernel.database import Transaction
from ca_core.kernel.rng import Rng, random_token
from idp.oauth.hashing import token_hash
from idp.token.model import ACCESS_TOKEN_TTL_S, AccessGrant, CodeGrant
from idp.token.store import AccessTokenStore

_TTL = timedelta(seconds=ACCESS_TOKEN_TTL_S)


class AccessTokens:
    """Tokens of 256 random bits. Every method runs in its caller's transaction."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._store = AccessTokenStore()

    def issue(self, tx: Transaction, code_hash: bytes, grant: CodeGrant, now: datetime) -> str:
        """A new token for what the code stood for."""
        token = random_token(self._rng)
        self._store.add(tx, token_hash(token), code_hash, grant, now + _TTL)
        return token

    def find(self, tx: Transaction, unverified_token: str, now: datetime) -> AccessGrant | None:
        """What the token opens; None when unknown, expired or revoked."""
        return self._store.live(tx, token_hash(unverified_token), now)

    def revoke_by_code(self, tx: Transaction, code_hash: bytes, now: datetime) -> int:
        """Ends every token that was issued for this code; how many those were."""
        return self._store.revoke_by_code(tx, code_hash, now)

    def forget(self, tx: Transaction, before: datetime) -> int:
        return self._store.forget(tx, before)
