"""/pki/tsa: time stamps over HTTP (RFC 3161 s3.4)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.kernel.web.body import read_body
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.hop import Hop
from ca_core.timestamp.model import Failure, TimestampAnswer
from ca_core.timestamp.service import TimestampAuthority, refusal

QUERY = "application/timestamp-query"
REPLY = "application/timestamp-reply"
_UNSUPPORTED_MEDIA_TYPE = 415


def routes(authority: TimestampAuthority, hop: Hop) -> list[Route]:
    """Open to everybody; it sets no cookie and reads none."""

    async def tsa(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != QUERY:
            return _reply(refusal(Failure.BAD_REQUEST), status=_UNSUPPORTED_MEDIA_TYPE)
        try:
            body = await read_body(request, limit=authority.max_request_bytes)
        except RequestError as error:
            return _reply(refusal(Failure.BAD_DATA_FORMAT), status=error.status)
        return _reply(await hop(authority.respond, body))

    return [Route("/pki/tsa", tsa, methods=["POST"])]


def _reply(answer: TimestampAnswer, *, status: int = 200) -> Response:
    return Response(answer.der, status_code=status, media_type=REPLY, headers={"Cache-Control": "no-store"})
