"""Where a statement comes from when the page gave only the nonce: the pinned provider itself."""

import ssl
from base64 import b64decode, urlsafe_b64encode
from typing import Protocol

import httpx2

from card_bridge.statement.errors import StatementMissing
from card_bridge.statement.providers import Provider
from card_bridge.statement.service import MAX_STATEMENT_OCTETS

TIMEOUT_S = 5.0


class StatementSource(Protocol):
    """Hands out the compact statement for a nonce, untrusted."""

    async def fetch(self, provider: Provider, challenge_nonce: str) -> str:
        """Raises: StatementMissing."""


class ProviderStatementSource:
    """GET {origin}/interaction/statement/{base64url of D}: no redirects, 5 seconds, 4096 octets."""

    async def fetch(self, provider: Provider, challenge_nonce: str) -> str:
        """The answer's text, untrusted. Raises: StatementMissing."""
        digest = urlsafe_b64encode(b64decode(challenge_nonce)).rstrip(b"=").decode("ascii")
        url = f"{provider.origin}/interaction/statement/{digest}"
        is_https = provider.origin.startswith("https:")
        try:
            async with (
                httpx2.AsyncClient(
                    verify=_trust(provider) if is_https else True, trust_env=is_https, timeout=TIMEOUT_S
                ) as client,
                client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
            ):
                if response.status_code != 200:
                    raise StatementMissing(f"the provider answered {response.status_code}")
                octets = bytearray()
                async for chunk in response.aiter_raw():
                    octets += chunk
                    if len(octets) > MAX_STATEMENT_OCTETS:
                        raise StatementMissing("the provider's answer is too large")
        except (httpx2.HTTPError, OSError) as error:
            raise StatementMissing(type(error).__name__) from error
        try:
            return octets.decode("ascii")
        except UnicodeDecodeError as error:
            raise StatementMissing("the provider's answer is not ASCII") from error


def _trust(provider: Provider) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=provider.tls_ca)
