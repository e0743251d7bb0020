"""Who may call the modern API: pages of pinned providers, by exact Origin and with a header no plain form can send."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from card_bridge.server.errors import HeaderMissing, OriginNotAllowed
from card_bridge.server.problem import problem, problem_of
from card_bridge.statement.providers import Providers

API_PREFIX = "/v1/"
HEADER = "x-card-bridge"
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "content-type, x-card-bridge",
    "Access-Control-Max-Age": "600",
}
# Chrome's preflight asks with the first name; the specification's later drafts renamed it to the second.
LOCAL_NETWORK = {
    "access-control-request-private-network": "Access-Control-Allow-Private-Network",
    "access-control-request-local-network": "Access-Control-Allow-Local-Network",
}


class ProviderOrigins:
    """Pure ASGI around the API's paths. Checks, in this order: Origin 403, preflight answered, header 403."""

    def __init__(self, app: ASGIApp, *, providers: Providers) -> None:
        self._app = app
        self._providers = providers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API_PREFIX):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        if len(origins) != 1 or self._providers.find(origins[0]) is None:
            await problem_of(OriginNotAllowed("; ".join(origins)[:300]))(scope, receive, send)
            return
        scope.setdefault("state", {})["origin"] = origins[0]
        answer = _with_cors(send, origins[0])
        if scope["method"] == "OPTIONS":
            await _preflight(headers)(scope, receive, answer)
        elif scope["method"] not in ("GET", "POST"):
            await problem(405, "method_not_allowed")(scope, receive, answer)
        elif headers.getlist(HEADER) != ["1"]:
            await problem_of(HeaderMissing())(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)


def _preflight(headers: Headers) -> Response:
    allowed = dict(PREFLIGHT_HEADERS)
    for request_name, response_name in LOCAL_NETWORK.items():
        if headers.get(request_name) == "true":
            allowed[response_name] = "true"
    return Response(status_code=204, headers=allowed)


def _with_cors(send: Send, origin: str) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Vary"] = (
                "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
                "Access-Control-Request-Private-Network, Access-Control-Request-Local-Network"
            )
        await send(message)

    return send_with_cors
