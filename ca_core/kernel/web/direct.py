"""The busiest endpoints: one sync call from a whole request to a whole answer.

Two ways lead to that call: `DirectEndpoint`, an ASGI application among the routes of the app, which `DirectRoutes` in
front of the app reaches without Starlette's router; and, for plain small requests, `DirectProtocol` without ASGI. What
the way costs is most of what a login costs (docs/adr/0005); what is done is the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ca_core.kernel.rng import Rng
from ca_core.kernel.web.body import read_body
from ca_core.kernel.web.from_memory import FromMemory
from ca_core.kernel.web.hop import Call, Hop
from ca_core.kernel.web.security import SecurityHeaders, new_request_id, request_id_of
from ca_core.kernel.web.whole import Answer, WholeRequest

CLOSE = b"connection: close\r\n"
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class DirectEndpoint:
    """`answer` is called where statements are run (`Hop`), `refuse` on the event loop with whatever `answer` raised."""

    def __init__(
        self,
        answer: Callable[[WholeRequest], Answer],
        refuse: Callable[[WholeRequest, Exception], Answer],
        *,
        hop: Hop,
        max_body_bytes: int,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._answer = answer
        self._refuse = refuse
        self._hop = hop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Request(scope, receive, send)
        request = WholeRequest(
            asked.method,
            scope["path"],
            scope["query_string"],
            scope["headers"],
            body=b"",
            request_id=request_id_of(asked),
        )
        try:
            if request.method == "POST":
                request.body = await read_body(asked, limit=self.max_body_bytes)
            answer = await self._hop(self._answer, request)
        except Exception as error:  # noqa: BLE001  (answered, and logged where it was not expected)
            answer = self._refuse(request, error)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def start(self, request: WholeRequest, told: Callable[[Answer | BaseException], None]) -> None:
        """Without ASGI. told: called once on the event loop, later; with an exception where `refuse` itself failed."""

        def settled(call: Call) -> None:
            outcome: Answer | BaseException = call.result if call.error is None else call.error
            if isinstance(outcome, Exception):
                try:
                    outcome = self._refuse(request, outcome)
                except Exception as error:  # noqa: BLE001  (for the protocol to log)
                    outcome = error
            told(outcome)

        self._hop.start(lambda: self._answer(request), settled)


class DirectRoute(Route):
    """A route without path parameters to a DirectEndpoint. Everything else about it (405, HEAD) is Starlette's."""

    def __init__(self, path: str, endpoint: DirectEndpoint, *, methods: list[str], name: str) -> None:
        super().__init__(path, endpoint, methods=methods, name=name)
        self.direct = endpoint


class DirectRoutes:
    """In front of the app: a request for a DirectRoute goes straight to its endpoint."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self.endpoints: dict[tuple[str, str], DirectEndpoint] = {
            (route.path, method): route.direct
            for route in routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.endpoints.get((scope["path"], scope["method"])) if scope["type"] == "http" else None
        await (found or self._app)(scope, receive, send)


class Direct:
    """What `DirectProtocol` needs to stand in for the middlewares and `DirectRoutes`: the endpoints that take GET and
    POST, an id for each request, and the header fields that every answer carries."""

    def __init__(
        self, endpoints: Mapping[tuple[str, str], DirectEndpoint], *, security: SecurityHeaders, rng: Rng
    ) -> None:
        self._endpoints = {
            (path.encode("ascii"), method.encode("ascii")): endpoint
            for (path, method), endpoint in endpoints.items()
            if method in ("GET", "POST")
        }
        self._security = security
        self._rng = rng

    def find(self, path: bytes, method: bytes) -> DirectEndpoint | None:
        return self._endpoints.get((path, method))

    def new_request_id(self) -> str:
        return new_request_id(self._rng).decode("ascii")

    def octets(self, answer: Answer, request_id: str, *, keep_alive: bool) -> bytes:
        """All of the answer behind the Date header. Raises: ValueError for a header value with a control character."""
        headers = answer.headers
        if _CONTROL.search(b"".join([value for _, value in headers])):
            raise ValueError("a control character in a header value")
        return b"%b%bx-request-id: %b\r\n%b\r\n%b" % (
            b"".join([b"%b: %b\r\n" % header for header in headers]),
            self._security.lines(headers),
            request_id.encode("ascii"),
            b"" if keep_alive else CLOSE,
            answer.body,
        )


class Outermost:
    """The application as uvicorn has it, and what `DirectProtocol` may do without it."""

    def __init__(self, app: ASGIApp, *, direct: Direct, from_memory: FromMemory | None = None) -> None:
        self._app = app
        self.direct = direct
        self.from_memory = from_memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
