"""/pki/log/...: the Merkle log for everybody (c2sp.org/tlog-tiles), and where witnesses bring their cosignatures."""

from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.audit.errors import AuditError
from ca_core.audit.note import MAX_NOTE_BYTES
from ca_core.audit.published import PublishedLog
from ca_core.audit.tiles import parse_tile_path
from ca_core.audit.witnesses import Witnesses
from ca_core.kernel.web.body import read_body
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.problem import problem

CHECKPOINT_MAX_AGE_S = 2
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_NOT_STORED = {"Cache-Control": "no-store"}
_TITLE = "聯合簽章未受理 · The cosignature was not accepted"


def routes(log: PublishedLog, witnesses: Witnesses, hop: Hop) -> list[Route]:
    """Open to everybody; they set no cookie and read none."""

    async def checkpoint(request: Request) -> Response:
        return _text(request, await hop(log.checkpoint))

    async def witnessed(request: Request) -> Response:
        return _text(request, await hop(log.witnessed_checkpoint))

    async def tile(request: Request) -> Response:
        try:
            name = parse_tile_path(request.path_params["path"])
        except ValueError:
            return Response(status_code=404, headers=_NOT_STORED)
        octets = await hop(log.tile, name)
        if octets is None:
            return Response(status_code=404, headers=_NOT_STORED)
        return Response(octets, media_type="application/octet-stream", headers=_IMMUTABLE)

    async def cosignatures(request: Request) -> Response:
        try:
            accepted = await hop(witnesses.accept_note, await read_body(request, limit=MAX_NOTE_BYTES))
        except RequestError as error:
            return problem(error.status, error.code, title=_TITLE)
        except AuditError as error:
            return problem(400, error.code, title=_TITLE, detail=error.detail)
        return Response("".join(f"{name}\n" for name in accepted), media_type="text/plain", headers=_NOT_STORED)

    return [
        Route("/pki/log/checkpoint", checkpoint, methods=["GET"]),
        Route("/pki/log/checkpoint/witnessed", witnessed, methods=["GET"]),
        Route("/pki/log/cosignatures", cosignatures, methods=["POST"]),
        Route("/pki/log/tile/{path:path}", tile, methods=["GET"]),
    ]


def _text(request: Request, octets: bytes | None) -> Response:
    if octets is None:
        return Response(status_code=404, headers=_NOT_STORED)
    tag = f'"{sha256(octets).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={CHECKPOINT_MAX_AGE_S}", "ETag": tag}
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(octets, media_type="text/plain", headers=headers)
