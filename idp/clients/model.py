"""A relying party as it is registered, and the rules a registration must keep."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from ca_core.statement.errors import StatementMalformed
from ca_core.statement.model import MAX_NAME, MAX_PURPOSE, LocalText, verify_text
from idp.oauth.algorithms import SigningAlgorithm
from idp.oauth.scopes import OPENID, SCOPE_CLAIMS

_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_URI = re.compile(r"[!-~]{1,2000}")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_LOOPBACK_IPS = frozenset({"127.0.0.1", "::1"})
_LOOPBACK = _LOOPBACK_IPS | {"localhost"}
MAX_URIS = 20


class TokenEndpointAuthMethod(StrEnum):
    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105  the name of a method, not a secret
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105  the name of a method, not a secret
    NONE = "none"


class ApplicationType(StrEnum):
    WEB = "web"
    NATIVE = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered relying party.

    secret_hash: SHA-256 of the secret, None for a public client. scopes: what it may ask for, sorted.
    sector_identifier: the host that pairwise subjects are made for.
    """

    client_id: str
    name: LocalText
    purpose: LocalText
    application_type: ApplicationType
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    token_endpoint_auth_method: TokenEndpointAuthMethod
    secret_hash: bytes | None
    scopes: tuple[str, ...]
    sector_identifier: str
    id_token_signed_response_alg: SigningAlgorithm
    created_at: datetime

    def accepts_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it is registered, character by character.

        Native clients' loopback IP addresses match with any port (RFC 8252 s7.3), since the port is only known when
        the application runs.
        """
        if redirect_uri in self.redirect_uris:
            return True
        if self.application_type is not ApplicationType.NATIVE or not redirect_uri.startswith("http://"):
            return False
        portless = _without_loopback_port(redirect_uri)
        return portless is not None and any(
            portless == _without_loopback_port(registered) for registered in self.redirect_uris
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """What an operator asks to be registered; nothing of it is trusted yet. client_id: None to have one made."""

    name: LocalText
    purpose: LocalText
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = (OPENID,)
    token_endpoint_auth_method: TokenEndpointAuthMethod = TokenEndpointAuthMethod.CLIENT_SECRET_BASIC
    application_type: ApplicationType = ApplicationType.WEB
    sector_identifier: str | None = None
    id_token_signed_response_alg: SigningAlgorithm = SigningAlgorithm.ES256
    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A new client, and its secret: this is the only time it can be read. None for a public client."""

    client: Client
    client_secret: str | None


def registration_faults(asked: ClientRegistration) -> tuple[str, ...]:
    """Everything that is wrong with a registration, in words for the operator."""
    faults: list[str] = []
    if asked.client_id is not None and not _CLIENT_ID.fullmatch(asked.client_id):
        faults.append("client_id: 1 to 64 letters, digits, and . _ ~ -")
    for label, text, limit in (("name", asked.name, MAX_NAME), ("purpose", asked.purpose, MAX_PURPOSE)):
        for language, value in text.to_wire().items():
            try:
                verify_text(value, limit)
            except StatementMalformed as error:
                faults.append(f"{label} ({language}): {error.detail}, at most {limit} characters")
    if not 1 <= len(asked.redirect_uris) <= MAX_URIS:
        faults.append(f"redirect_uris: 1 to {MAX_URIS}")
    if len(asked.post_logout_redirect_uris) > MAX_URIS:
        faults.append(f"post_logout_redirect_uris: at most {MAX_URIS}")
    for uri in (*asked.redirect_uris, *asked.post_logout_redirect_uris):
        fault = _uri_fault(uri, asked.application_type)
        if fault:
            faults.append(f"{uri[:200]}: {fault}")
    unknown = sorted(set(asked.scopes) - set(SCOPE_CLAIMS))
    if unknown:
        faults.append(f"scopes: unknown: {', '.join(unknown)}")
    if OPENID not in asked.scopes:
        faults.append("scopes: openid is missing")
    if asked.sector_identifier is not None and not _HOST.fullmatch(asked.sector_identifier):
        faults.append("sector_identifier: a host name in lower case")
    if not faults and asked.sector_identifier is None and len(_hosts(asked.redirect_uris)) != 1:
        faults.append("sector_identifier: needed, as the redirect_uris have several hosts (OpenID Connect Core s8.1)")
    return tuple(faults)


def sector_identifier_of(asked: ClientRegistration) -> str:
    """The registered sector identifier, or the one host of the redirect URIs. Only after `registration_faults`."""
    return asked.sector_identifier or min(_hosts(asked.redirect_uris))


def _hosts(uris: tuple[str, ...]) -> set[str]:
    return {parts.hostname or parts.scheme for parts in map(urlsplit, uris)}


def _uri_fault(uri: str, application_type: ApplicationType) -> str | None:
    if not _URI.fullmatch(uri):
        return "printable ASCII without spaces, at most 2000 characters"
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return "not a URI"
    if "#" in uri:
        return "a fragment is not allowed (RFC 6749 s3.1.2)"
    if "*" in parts.netloc or "\\" in uri:
        return "no wildcards, no backslashes"
    if parts.username is not None or parts.password is not None:
        return "user information is not allowed"
    return _scheme_fault(parts, application_type)


def _scheme_fault(parts: SplitResult, application_type: ApplicationType) -> str | None:
    if parts.scheme == "https":
        return None if parts.hostname else "no host"
    if parts.scheme == "http":
        return None if parts.hostname in _LOOPBACK else "http is for loopback only"
    if application_type is ApplicationType.NATIVE and _PRIVATE_SCHEME.fullmatch(parts.scheme):
        return None  # RFC 8252 s7.1: a reversed domain name of the application's owner
    return "https, or http to loopback (native clients also: a private-use scheme with a dot)"


def _without_loopback_port(uri: str) -> str | None:
    """The URI with the port of its loopback IP address taken out; None for any other URI, or a malformed one."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme != "http" or host not in _LOOPBACK_IPS or parts.username is not None:
        return None
    literal = f"[{host}]" if ":" in host else host
    if parts.netloc != (literal if port is None else f"{literal}:{port}"):
        return None
    return f"http://{literal}{uri[len('http://') + len(parts.netloc) :]}"
