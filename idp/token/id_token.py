"""ID tokens.  Spec: OpenID Connect Core s2, s3.1.3.6."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from idp.claims.model import ClaimValue
from idp.clients.model import Client
from idp.oauth.subjects import PairwiseSubjects
from idp.provider_keys.service import TokenKeys
from idp.token.model import ID_TOKEN_TTL_S, CodeGrant


class IdTokenIssuer:
    """Makes the signed answer to "who logged in, when, and how strongly"."""

    def __init__(self, issuer: str, keys: TokenKeys, subjects: PairwiseSubjects) -> None:
        self._issuer = issuer
        self._keys = keys
        self._subjects = subjects

    def issue(
        self,
        client: Client,
        grant: CodeGrant,
        access_token: str,
        now: datetime,
        more: Mapping[str, ClaimValue],
    ) -> str:
        """A compact JWS by the algorithm the client registered for. more: claims that were asked for in it.

        One audience, so no `azp` (Core s2: only where it differs).
        """
        issued_at = int(now.timestamp())
        claims: dict[str, ClaimValue] = {
            **more,
            "iss": self._issuer,
            "sub": self._subjects.sub(client.sector_identifier, grant.person_id),
            "aud": client.client_id,
            "exp": issued_at + ID_TOKEN_TTL_S,
            "iat": issued_at,
            "auth_time": int(grant.auth_time.timestamp()),
            "acr": grant.acr,
            "amr": list(grant.amr),
            "sid": self._subjects.sid(client.client_id, grant.session_id),
            "at_hash": at_hash(access_token),
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        return self._keys.sign(claims, client.id_token_signed_response_alg)


def at_hash(access_token: str) -> str:
    """BASE64URL of the left half of SHA-256, the hash of ES256 and RS256 alike.  Spec: Core s3.1.3.6."""
    return urlsafe_b64encode(sha256(access_token.encode("ascii")).digest()[:16]).rstrip(b"=").decode("ascii")
