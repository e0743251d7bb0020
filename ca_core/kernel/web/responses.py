"""Headers and answers that every surface uses."""

import json
from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

NO_STORE: Mapping[str, str] = MappingProxyType({"Cache-Control": "no-store", "Pragma": "no-cache"})

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Json(Response):
    """JSON as Starlette's JSONResponse writes it, by one encoder that is made once."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return _encode(content).encode("utf-8")


def see_other(url: str) -> Response:
    """303 to a URL of ours or of a relying party: the browser goes on with GET whatever the method was."""
    return Response(status_code=303, headers={"Location": url, **NO_STORE})
