"""A relying party's side of a login: the authorization request, the code's exchange, the checks, userinfo."""

import hashlib
import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ca_core.kernel.clock import Clock
from ca_core.kernel.rng import Rng, random_token
from idp.bench.browser import Browser
from idp.bench.errors import BenchFailed
from idp.bench.http_client import Connection

SCOPE = "openid profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A client at a provider: client_secret_basic, code flow, PKCE S256."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One authorization request, and what its answer is held to."""

    url: str
    state: str
    nonce: str
    code_verifier: str


class RelyingParty:
    """Drives one provider, found through its discovery document."""

    def __init__(self, registration: Registration, metadata: dict[str, str], keys: KeySet, *, rng: Rng) -> None:
        self.registration = registration
        self._rng = rng
        self._keys = keys
        self._authorize = metadata["authorization_endpoint"]
        self._token = urlsplit(metadata["token_endpoint"]).path
        self._userinfo = urlsplit(metadata["userinfo_endpoint"]).path
        credentials = f"{quote(registration.client_id, safe='')}:{quote(registration.client_secret, safe='')}"
        self._token_headers = (
            ("Authorization", "Basic " + b64encode(credentials.encode()).decode()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", "application/json"),
        )
        self._fixed = urlencode(
            {
                "client_id": registration.client_id,
                "response_type": "code",
                "scope": SCOPE,
                "redirect_uri": registration.redirect_uri,
                "code_challenge_method": "S256",
            }
        )

    @classmethod
    async def discover(cls, registration: Registration, *, rng: Rng) -> "RelyingParty":
        """Reads the provider's metadata and keys."""
        connection = Connection(registration.issuer)
        answer = await connection.request("GET", "/.well-known/openid-configuration")
        if answer.status != 200:
            raise BenchFailed(f"discovery: {answer.status}")
        metadata = json.loads(answer.body)
        if metadata["issuer"] != registration.issuer:
            raise BenchFailed("discovery: another issuer")
        answer = await connection.request("GET", urlsplit(metadata["jwks_uri"]).path)
        connection.close()
        return cls(registration, metadata, KeySet.import_key_set(json.loads(answer.body)), rng=rng)

    def begin(self) -> Attempt:
        """A new authorization request."""
        state, nonce = random_token(self._rng, 16), random_token(self._rng, 16)
        code_verifier = random_token(self._rng)
        challenge = urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        url = f"{self._authorize}?{self._fixed}&state={state}&nonce={nonce}&code_challenge={challenge}"
        return Attempt(url=url, state=state, nonce=nonce, code_verifier=code_verifier)

    async def finish(
        self,
        browser: Browser,
        attempt: Attempt,
        callback: str,
        *,
        signature_at: Clock | None,
        userinfo: bool = True,
    ) -> None:
        """Exchanges the callback's code, holds the ID token to the request, reads userinfo where it is wanted.

        signature_at: with a clock, the ID token's signature and times are verified too (in a sample of the operations:
        it costs the client more than all the rest). Raises: BenchFailed.
        """
        registration = self.registration
        query = parse_qs(urlsplit(callback).query)
        if query.get("state") != [attempt.state] or "code" not in query:
            raise BenchFailed(f"callback: {query.get('error', ['another state'])[0]}")
        form = {
            "grant_type": "authorization_code",
            "code": query["code"][0],
            "redirect_uri": registration.redirect_uri,
            "code_verifier": attempt.code_verifier,
        }
        answer = await browser.request("POST", self._token, headers=self._token_headers, body=urlencode(form).encode())
        if answer.status != 200:
            raise BenchFailed(f"token endpoint: {answer.status} {answer.body[:200].decode(errors='replace')}")
        tokens = json.loads(answer.body)
        claims = self._claims(tokens["id_token"], attempt, signature_at)
        if userinfo:
            await self._read_userinfo(browser, tokens["access_token"], claims["sub"])

    async def _read_userinfo(self, browser: Browser, access_token: str, subject: object) -> None:
        bearer = ("Authorization", f"Bearer {access_token}")
        answer = await browser.request("GET", self._userinfo, headers=(bearer,))
        if answer.status != 200:
            raise BenchFailed(f"userinfo: {answer.status}")
        shown = json.loads(answer.body)
        if shown["sub"] != subject or not shown.get("name"):
            raise BenchFailed("userinfo: not the citizen of the ID token")

    def _claims(self, id_token: str, attempt: Attempt, signature_at: Clock | None) -> dict[str, object]:
        try:
            claims: dict[str, object]
            if signature_at is None:
                payload = id_token.split(".")[1]
                claims = json.loads(_unpadded(payload))
            else:
                token = jwt.decode(id_token, self._keys, algorithms=["ES256"])
                claims = dict(token.claims)
                jwt.JWTClaimsRegistry(now=int(signature_at().timestamp()), exp={"essential": True}).validate(claims)
        except (JoseError, ValueError, LookupError) as error:
            raise BenchFailed(f"ID token: {error}") from error
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        ours = claims["iss"] == self.registration.issuer and audience == [self.registration.client_id]
        if not ours or claims["nonce"] != attempt.nonce:
            raise BenchFailed("ID token: not the answer to this request")
        return claims


def _unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
