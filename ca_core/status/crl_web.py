"""/pki/crl/...: complete CRLs, deltas, shards (RFC 5280 s4.2.1.13)."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.kernel.clock import Clock
from ca_core.kernel.web.hop import Hop
from ca_core.status.crl_archive import CrlArchive
from ca_core.status.model import CrlKind, CrlRecord

CRL = "application/pkix-crl"
_MAX_AGE_S = {CrlKind.COMPLETE: 900, CrlKind.DELTA: 300}
_MAX_SHARD_DIGITS = 6


def crl_routes(crls: CrlArchive, hop: Hop, clock: Clock) -> list[Route]:
    """The newest published lists, streamed."""

    async def answer(request: Request, find: Callable[..., CrlRecord | None], *names: object) -> Response:
        try:
            record = await hop(find, *names)
        except AuthorityNotFound:
            record = None
        if record is None:
            return Response(status_code=404, headers={"Cache-Control": "no-store"})
        headers = _headers(record, clock())
        if _is_known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(record.size_bytes)
        if request.method == "HEAD":
            return Response(media_type=CRL, headers=headers)
        return StreamingResponse(_chunks(crls, record, hop), media_type=CRL, headers=headers)

    async def complete(request: Request) -> Response:
        return await answer(request, crls.latest_record, request.path_params["slug"])

    async def delta(request: Request) -> Response:
        return await answer(request, crls.latest_delta_record, request.path_params["slug"])

    async def shard(request: Request) -> Response:
        number = request.path_params["shard"]
        if not (number.isascii() and number.isdigit() and len(number) <= _MAX_SHARD_DIGITS):
            return Response(status_code=404, headers={"Cache-Control": "no-store"})
        return await answer(request, crls.latest_shard_record, request.path_params["slug"], int(number))

    return [
        Route("/pki/crl/{slug}-delta.crl", delta, methods=["GET"]),
        Route("/pki/crl/{slug}.crl", complete, methods=["GET"]),
        Route("/pki/crl/{slug}/{shard}.crl", shard, methods=["GET"]),
    ]


def _headers(record: CrlRecord, now: datetime) -> dict[str, str]:
    left_s = int((record.next_update - now).total_seconds())
    max_age_s = min(_MAX_AGE_S[record.kind], left_s)
    tag = f"{record.authority_id}-{record.number}" + ("" if record.shard is None else f"-{record.shard}")
    return {
        "Cache-Control": f"public, max-age={max_age_s}, must-revalidate" if left_s > 0 else "no-cache",
        "Last-Modified": format_datetime(record.this_update, usegmt=True),
        "Expires": format_datetime(record.next_update, usegmt=True),
        "ETag": f'"{tag}"',
    }


async def _chunks(crls: CrlArchive, record: CrlRecord, hop: Hop) -> AsyncIterator[bytes]:
    """Holds no connection while the client reads."""
    for position in range(record.chunks):
        yield await hop(crls.chunk, record, position)


def _is_known(request: Request, tag: str) -> bool:
    sent = request.headers.get("If-None-Match", "")
    return any(candidate.strip().removeprefix("W/") in (tag, "*") for candidate in sent.split(","))
