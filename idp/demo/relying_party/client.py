"""The relying party's side of the code flow: authorization request, code exchange, verified claims, logout."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.jwk import KeySet, KeySetSerialization

from ca_core.kernel.errors import DomainError
from ca_core.kernel.rng import Rng, random_token

_MAX_PENDING = 1_000


class LoginFailed(DomainError):
    """The provider refused, or its answer does not verify. detail: the OAuth error or what did not match."""

    code = "login_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the provider knows this relying party by."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    post_logout_redirect_uri: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    nonce: str
    code_verifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A logged-in citizen, as this relying party sees one: claims verified, none kept anywhere else."""

    id_token: str
    id_token_claims: dict[str, Any]
    userinfo: dict[str, Any]


class RelyingParty:
    """One registration's logins. Pending requests live here for the minutes of a login, at most 1,000 of them.

    verify: the PEM file of the authority that the provider's TLS certificate is checked with, or True for the
    machine's own roots.
    """

    def __init__(self, registration: Registration, rng: Rng, *, verify: str | bool = True) -> None:
        self.registration = registration
        self._rng = rng
        self._verify = verify
        self._pending: OrderedDict[str, _Pending] = OrderedDict()

    async def authorization_url(self, ui_locales: str) -> str:
        """Where to send the citizen: a fresh state, nonce and S256 code challenge (RFC 7636)."""
        pending = _Pending(nonce=random_token(self._rng), code_verifier=random_token(self._rng))
        state = random_token(self._rng)
        self._pending[state] = pending
        while len(self._pending) > _MAX_PENDING:
            self._pending.popitem(last=False)
        async with self._client() as client:
            metadata = await self._metadata(client)
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                nonce=pending.nonce,
                code_verifier=pending.code_verifier,
                ui_locales=ui_locales,
            )
        return str(url)

    async def complete(self, answer: dict[str, str]) -> Visitor:
        """The citizen behind a callback's query. Raises: LoginFailed, whatever does not verify."""
        pending = self._pending.pop(answer.get("state", ""), None)
        if pending is None:
            raise LoginFailed("unknown state")
        if "error" in answer:
            raise LoginFailed(answer["error"][:100])
        if answer.get("iss") != self.registration.issuer:
            raise LoginFailed("iss is another provider's (RFC 9207)")
        async with self._client() as client:
            metadata = await self._metadata(client)
            token = await client.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=answer.get("code", ""),
                code_verifier=pending.code_verifier,
            )
            claims = await self._verified(client, metadata, token["id_token"], pending.nonce)
            userinfo = (await client.get(metadata["userinfo_endpoint"])).raise_for_status().json()
        if userinfo["sub"] != claims["sub"]:
            raise LoginFailed("userinfo is somebody else's")
        return Visitor(id_token=token["id_token"], id_token_claims=claims, userinfo=userinfo)

    async def end_session_url(self, visitor: Visitor) -> str:
        """Where to send the citizen to log out at the provider too (RP-Initiated Logout 1.0)."""
        async with self._client() as client:
            metadata = await self._metadata(client)
        query = {
            "id_token_hint": visitor.id_token,
            "client_id": self.registration.client_id,
            "post_logout_redirect_uri": self.registration.post_logout_redirect_uri,
        }
        return f"{metadata['end_session_endpoint']}?{urlencode(query)}"

    def _client(self) -> AsyncOAuth2Client:
        r = self.registration
        return AsyncOAuth2Client(
            client_id=r.client_id,
            client_secret=r.client_secret,
            scope=r.scope,
            redirect_uri=r.redirect_uri,
            code_challenge_method="S256",
            verify=self._verify,
            timeout=10,
        )

    async def _metadata(self, client: AsyncOAuth2Client) -> dict[str, Any]:
        url = f"{self.registration.issuer}/.well-known/openid-configuration"
        metadata: dict[str, Any] = await _get_json(client, url)
        if metadata.get("issuer") != self.registration.issuer:
            raise LoginFailed("metadata of another issuer")
        return metadata

    async def _verified(
        self, client: AsyncOAuth2Client, metadata: dict[str, Any], id_token: str, nonce: str
    ) -> dict[str, Any]:
        """The ID token's claims, checked as OpenID Connect Core s3.1.3.7 says."""
        keys = KeySet.import_key_set(cast(KeySetSerialization, await _get_json(client, metadata["jwks_uri"])))
        token = jwt.decode(id_token, keys, algorithms=["ES256", "RS256"])
        registry = jwt.JWTClaimsRegistry(
            now=int(time.time()),  # noqa: TID251  (a relying party of its own, with its own clock)
            leeway=30,
            iss={"essential": True, "value": self.registration.issuer},
            aud={"essential": True, "value": self.registration.client_id},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(token.claims)
        return dict(token.claims)


async def _get_json(client: AsyncOAuth2Client, url: str) -> dict[str, Any]:
    """A public document, asked for without the access token."""
    answer: dict[str, Any] = (await client.request("GET", url, withhold_token=True)).raise_for_status().json()
    return answer
