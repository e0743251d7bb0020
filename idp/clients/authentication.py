"""Client authentication at the token endpoint: exactly one method, the one the client registered."""

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote_plus

from idp.clients.model import Client, TokenEndpointAuthMethod
from idp.clients.service import ClientRegistry
from idp.oauth.errors import InvalidClient, InvalidRequest
from idp.oauth.hashing import token_hash

_MAX_HEADER = 2_048
_NO_SECRET = bytes(32)


class ClientAuthenticator:
    """Tells which client a request comes from. Source: RFC 6749 s2.3, OpenID Connect Core s9."""

    def __init__(self, registry: ClientRegistry) -> None:
        self._registry = registry

    def authenticate(self, authorization: str | None, form: Mapping[str, str]) -> Client:
        """The client that the request proves to come from.

        authorization: the request header's value; form: the body's fields. Both untrusted.
        Raises: InvalidClient; InvalidRequest where more than one method is used, or none names a client.
        """
        if authorization is not None:
            return self._basic(authorization, form)
        client_id = form.get("client_id")
        if not client_id:
            raise InvalidClient("no client authentication")
        secret = form.get("client_secret")
        if secret is None:
            method, presented = TokenEndpointAuthMethod.NONE, ""
        else:
            method, presented = TokenEndpointAuthMethod.CLIENT_SECRET_POST, secret
        return self._verify(client_id, presented, method)

    def _basic(self, authorization: str, form: Mapping[str, str]) -> Client:
        if "client_secret" in form:
            raise InvalidRequest("more than one client authentication method")
        client_id, secret = parse_basic(authorization)
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequest("client_id contradicts the Authorization header")
        return self._verify(client_id, secret, TokenEndpointAuthMethod.CLIENT_SECRET_BASIC)

    def _verify(self, client_id: str, secret: str, method: TokenEndpointAuthMethod) -> Client:
        is_basic = method is TokenEndpointAuthMethod.CLIENT_SECRET_BASIC
        client = self._registry.find(client_id)
        if method is not TokenEndpointAuthMethod.NONE:
            stored = _NO_SECRET if client is None or client.secret_hash is None else client.secret_hash
            matches = hmac.compare_digest(stored, token_hash(secret))
        else:
            matches = True
        if client is None or client.token_endpoint_auth_method is not method or not matches:
            raise InvalidClient("client authentication failed", detail=method.value, basic_challenge=is_basic)
        return client


def parse_basic(authorization: str) -> tuple[str, str]:
    """client_id and secret from an untrusted `Authorization: Basic` header, each form-urlencoded inside it.

    Raises: InvalidClient.  Spec: RFC 6749 s2.3.1, RFC 7617.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > _MAX_HEADER:
        raise InvalidClient("unsupported client authentication", basic_challenge=True)
    try:
        user_info = b64decode(encoded.strip(), validate=True).decode("ascii")
        user, colon, password = user_info.partition(":")
        client_id = unquote_plus(user, errors="strict")
        secret = unquote_plus(password, errors="strict")
    except (binascii.Error, ValueError) as error:
        raise InvalidClient("malformed Authorization header", basic_challenge=True) from error
    if not colon or not client_id or "\x00" in client_id + secret:
        raise InvalidClient("malformed Authorization header", basic_challenge=True)
    return client_id, secret
