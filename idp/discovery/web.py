"""/.well-known/openid-configuration, /.well-known/oauth-authorization-server and /jwks: fixed answers, made once."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from idp.discovery.model import authorization_server_metadata, provider_metadata

JWKS_PATH = "/jwks"
_MAX_AGE_S = 300


def routes(issuer: str, jwks: Mapping[str, Any]) -> list[Route]:
    """jwks: the public token keys and statement keys."""
    metadata = provider_metadata(issuer)
    return [
        _document("/.well-known/openid-configuration", metadata, "application/json"),
        _document(
            "/.well-known/oauth-authorization-server", authorization_server_metadata(metadata), "application/json"
        ),
        _document(JWKS_PATH, jwks, "application/jwk-set+json"),
    ]


def _document(path: str, content: Mapping[str, Any], media_type: str) -> Route:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "Cache-Control": f"public, max-age={_MAX_AGE_S}",
        "ETag": etag,
        "Access-Control-Allow-Origin": "*",
    }

    async def document(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    return Route(path, document, methods=["GET"])
