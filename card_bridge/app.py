"""The application: guard, origins, routes, and errors as answers."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from card_bridge.consent.pages import ConsentPages
from card_bridge.consent.service import ConsentWindows
from card_bridge.consent.web import routes as consent_routes
from card_bridge.errors import BridgeError
from card_bridge.server.errors import RequestRefused
from card_bridge.server.guard import LoopbackGuard, loopback_hosts
from card_bridge.server.origins import ProviderOrigins
from card_bridge.server.problem import problem, problem_of
from card_bridge.server.web import Api
from card_bridge.server.web import routes as api_routes

log = logging.getLogger(__name__)


def build_app(api: Api, windows: ConsentWindows, pages: ConsentPages, *, port: int) -> LoopbackGuard:
    """The whole server for a port that is already bound."""

    async def bridge_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, BridgeError):
            raise error
        if request.url.path.startswith("/consent/") and not request.url.path.endswith("/state"):
            log.info("the window refused: %s (%s)", error.code, error.detail)
            return pages.problem(request, error.code, status=error.status if isinstance(error, RequestRefused) else 400)
        return problem_of(error)

    async def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return problem(status, {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request"))

    async def unexpected(request: Request, error: Exception) -> Response:
        return problem(500, "bridge_error")

    app = Starlette(
        routes=[*api_routes(api), *consent_routes(windows, pages, port=port)],
        middleware=[Middleware(ProviderOrigins, providers=api.providers)],
        exception_handlers={BridgeError: bridge_error, HTTPException: http_error, Exception: unexpected},
    )
    return LoopbackGuard(app, hosts=loopback_hosts(port))
