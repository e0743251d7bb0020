"""The busiest endpoints, reached without Starlette's router and exception layers.

Those cost each request about as much as two statements (docs/adr/0005). The endpoints stay ordinary routes of the app,
so that everything else (other methods, slashes, 404) is still Starlette's.
"""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectRoute(Route):
    """A route without path parameters whose handler answers every exception itself."""


class DirectRoutes:
    """In front of the app: a request for a DirectRoute goes straight to its handler."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._handlers = {
            (route.path, method): route.endpoint
            for route in routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get((scope["path"], scope["method"])) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
