"""POST /token."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ca_core.kernel.web.body import parse_form, read_body
from ca_core.kernel.web.direct import DirectRoute
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.responses import NO_STORE, Json
from ca_core.kernel.web.security import request_id_of
from idp.oauth.errors import InvalidRequest
from idp.oauth.incidents import Incidents
from idp.oauth.web import guarded
from idp.token.service import TokenService

PATH = "/token"
_FORM = "application/x-www-form-urlencoded"
_LIMIT = 16_384


def routes(tokens: TokenService, *, hop: Hop, incidents: Incidents) -> list[BaseRoute]:
    async def token(request: Request) -> Response:
        headers = request.headers
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise InvalidRequest("the body must be a form")
        form = parse_form(await read_body(request, limit=_LIMIT))
        if len(headers.getlist("authorization")) > 1:
            raise InvalidRequest("more than one Authorization header")
        authorization = headers.get("authorization")
        answer = await hop(tokens.exchange, authorization, form, request_id=request_id_of(request))
        return Json(answer.to_wire(), headers=NO_STORE)

    return [DirectRoute(PATH, guarded(token, incidents), methods=["POST"], name="token")]
