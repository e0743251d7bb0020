"""id_token_hint: an ID token of ours that comes back to say whom a request is about."""

from dataclasses import dataclass

from idp.provider_keys.errors import NotOurToken
from idp.provider_keys.service import TokenKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTokenHint:
    """What a genuine ID token of ours said, however long ago."""

    client_id: str
    sub: str
    sid: str | None


class IdTokenHints:
    """Reads hints. Expiry does not matter (RP-Initiated Logout s2); signature and issuer do."""

    def __init__(self, keys: TokenKeys, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer

    def read(self, unverified_hint: str) -> IdTokenHint:
        """Raises: NotOurToken."""
        claims = self._keys.verify(unverified_hint)
        client_id, sub, sid = claims.get("aud"), claims.get("sub"), claims.get("sid")
        if claims.get("iss") != self._issuer or not isinstance(client_id, str) or not isinstance(sub, str):
            raise NotOurToken("not an ID token of this issuer")
        return IdTokenHint(client_id=client_id, sub=sub, sid=sid if isinstance(sid, str) else None)
