"""GET and POST /userinfo."""

from starlette.routing import BaseRoute

from ca_core.kernel.web.body import parse_form
from ca_core.kernel.web.direct import DirectEndpoint, DirectRoute
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.whole import Answer, WholeRequest
from idp.oauth.incidents import Incidents
from idp.oauth.web import refusal
from idp.userinfo.bearer import parse_bearer
from idp.userinfo.service import UserInfoService

PATH = "/userinfo"
_LIMIT = 16_384


def routes(users: UserInfoService, *, hop: Hop, incidents: Incidents) -> list[BaseRoute]:
    def userinfo(request: WholeRequest) -> Answer:
        elsewhere = bool(request.query) and "access_token" in request.for_pages().query_params
        if request.method == "POST":
            is_form = (request.header(b"content-type") or "").startswith("application/x-www-form-urlencoded")
            elsewhere = elsewhere or (is_form and "access_token" in parse_form(request.body))
        return Answer.json(users.userinfo(parse_bearer(request.every(b"authorization"), elsewhere=elsewhere)))

    endpoint = DirectEndpoint(userinfo, refusal(incidents), hop=hop, max_body_bytes=_LIMIT)
    return [DirectRoute(PATH, endpoint, methods=["GET", "POST"], name="userinfo")]
