"""POST /token."""

from starlette.routing import BaseRoute

from ca_core.kernel.web.body import parse_form
from ca_core.kernel.web.direct import DirectEndpoint, DirectRoute
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.whole import Answer, WholeRequest
from idp.oauth.errors import InvalidRequest
from idp.oauth.incidents import Incidents
from idp.oauth.web import refusal
from idp.token.service import TokenService

PATH = "/token"
_FORM = "application/x-www-form-urlencoded"
_LIMIT = 16_384


def routes(tokens: TokenService, *, hop: Hop, incidents: Incidents) -> list[BaseRoute]:
    def token(request: WholeRequest) -> Answer:
        if (request.header(b"content-type") or "").partition(";")[0].strip().lower() != _FORM:
            raise InvalidRequest("the body must be a form")
        form = parse_form(request.body)
        authorization = request.every(b"authorization")
        if len(authorization) > 1:
            raise InvalidRequest("more than one Authorization header")
        answer = tokens.exchange(authorization[0] if authorization else None, form, request_id=request.request_id)
        return Answer.json(answer.to_wire())

    endpoint = DirectEndpoint(token, refusal(incidents), hop=hop, max_body_bytes=_LIMIT)
    return [DirectRoute(PATH, endpoint, methods=["POST"], name="token")]
