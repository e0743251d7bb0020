"""Static files under `/assets/`, named by their content, so that a browser fetches each version once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.kernel.errors import ConfigurationError

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_FOR_EVER = "public, max-age=31536000, immutable"


class Assets:
    """Files held in memory: a few dozen kilobytes, read once at start."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._urls: dict[str, str] = {}
        self._answers: dict[str, tuple[bytes, str]] = {}
        for path in sorted(path for folder in folders for path in folder.iterdir() if path.is_file()):
            media_type = _MEDIA_TYPES.get(path.suffix)
            if media_type is None:
                raise ConfigurationError(f"{path}: no media type for this ending")
            if path.name in self._urls:
                raise ConfigurationError(f"{path}: a second asset of this name")
            content = path.read_bytes()
            served = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
            self._urls[path.name] = f"/assets/{served}"
            self._answers[served] = (content, media_type)

    def url(self, name: str) -> str:
        """The path of an asset, with its content's hash. An unknown name is a KeyError: a template's mistake."""
        return self._urls[name]

    def routes(self) -> list[Route]:
        async def asset(request: Request) -> Response:
            found = self._answers.get(request.path_params["name"])
            if found is None:
                return Response(status_code=404)
            content, media_type = found
            return Response(content, media_type=media_type, headers={"Cache-Control": _FOR_EVER})

        return [Route("/assets/{name}", asset, methods=["GET"], name="asset")]
