"""Access tokens: opaque, for UserInfo alone, short-lived."""

from datetime import datetime

from ca_core.kernel.database import Transaction
from ca_core.kernel.rng import Rng, random_token
from idp.oauth.hashing import token_hash
from idp.token.model import AccessGrant
from idp.token.store import GrantStore


class AccessTokens:
    """Tokens of 256 random bits, each made of one code (`AuthorizationCodes.redeem`)."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._store = GrantStore()

    def make(self) -> str:
        """A new token. It opens nothing until a code was redeemed for it."""
        return random_token(self._rng)

    def find(self, tx: Transaction, unverified_token: str, now: datetime) -> AccessGrant | None:
        """What the token opens; None when unknown, expired or revoked."""
        return self._store.by_token(tx, token_hash(unverified_token), now)

    def revoke_by_code(self, tx: Transaction, code_hash: bytes, now: datetime) -> bool:
        """Ends the token that this code turned into. Whether this call is the one that did."""
        return self._store.revoke(tx, code_hash, now)
