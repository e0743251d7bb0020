"""Headers and answers that every surface uses."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

NO_STORE: Mapping[str, str] = MappingProxyType({"Cache-Control": "no-store", "Pragma": "no-cache"})


def see_other(url: str) -> Response:
    """303 to a URL of ours or of a relying party: the browser goes on with GET whatever the method was."""
    return Response(status_code=303, headers={"Location": url, **NO_STORE})
