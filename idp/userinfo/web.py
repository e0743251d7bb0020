"""GET and POST /userinfo."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ca_core.kernel.web.body import parse_form, read_body
from ca_core.kernel.web.direct import DirectRoute
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.responses import NO_STORE, Json
from idp.oauth.incidents import Incidents
from idp.oauth.web import guarded
from idp.userinfo.bearer import parse_bearer
from idp.userinfo.service import UserInfoService

PATH = "/userinfo"
_LIMIT = 16_384


def routes(users: UserInfoService, *, hop: Hop, incidents: Incidents) -> list[BaseRoute]:
    async def userinfo(request: Request) -> Response:
        elsewhere = bool(request.scope["query_string"]) and "access_token" in request.query_params
        if request.method == "POST":
            body = await read_body(request, limit=_LIMIT)
            is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
            elsewhere = elsewhere or (is_form and "access_token" in parse_form(body))
        token = parse_bearer(request.headers.getlist("authorization"), elsewhere=elsewhere)
        return Json(await hop(users.userinfo, token), headers=NO_STORE)

    return [DirectRoute(PATH, guarded(userinfo, incidents), methods=["GET", "POST"], name="userinfo")]
