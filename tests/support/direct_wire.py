"""An application with direct endpoints, and what a connection to it hears: by uvicorn's class, or without ASGI."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ca_core.kernel.web.direct import Direct, DirectEndpoint, DirectRoute, DirectRoutes, Outermost
from ca_core.kernel.web.hop import Call, Hop
from ca_core.kernel.web.security import RequestId, SecurityHeaders
from ca_core.kernel.web.whole import Answer, WholeRequest
from support.http_wire import Application, Outcome, Peer

MAX_BODY = 64


class GatedHop(Hop):
    """A hop whose calls run when the gate is opened: as long as that, requests are in flight."""

    def __init__(self) -> None:
        self._waiting_calls: list[Call] = []
        self.is_open = False

    def start(self, call: Callable[[], Any], told: Callable[[Call], None]) -> None:
        self._waiting_calls.append(Call(asyncio.get_running_loop(), call, told))
        if self.is_open:
            asyncio.get_running_loop().call_soon(self._run_all)

    async def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the hop
        done: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self.start(lambda: call(*args, **kwargs), done.set_result)
        mine = await done
        if mine.error is not None:
            raise mine.error
        return mine.result

    def open(self) -> None:
        self.is_open = True
        asyncio.get_running_loop().call_soon(self._run_all)

    def _run_all(self) -> None:
        calls, self._waiting_calls = self._waiting_calls, []
        for call in calls:
            call.run()
        for call in calls:
            call.settle()


class DirectApplication(Outermost):
    """`/direct` by GET and POST, `/posted` by POST; all else is Starlette's. Of a request, `/direct` tells a digest of
    all that it saw. A query that names it is refused, or gives a header or a page of its own.

    by_app: how many requests came by ASGI. answered: how many `/direct` answered, either way.
    """

    def __init__(self, hop: Hop, from_memory: Application | None = None) -> None:
        self.by_app = self.answered = 0
        endpoint = DirectEndpoint(self._answer, self._refuse, hop=hop, max_body_bytes=MAX_BODY)
        routes: list[BaseRoute] = [
            DirectRoute("/direct", endpoint, methods=["GET", "POST"], name="direct"),
            DirectRoute("/posted", endpoint, methods=["POST"], name="posted"),
            Route("/other", _other),
        ]
        if from_memory is not None:
            routes.append(Mount("/memory", app=from_memory))
        in_front = DirectRoutes(Starlette(routes=routes), routes)
        security = SecurityHeaders(in_front, https=True)
        super().__init__(
            RequestId(security, rng=bytes),
            direct=Direct(in_front.endpoints, security=security, rng=bytes),
            from_memory=from_memory,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.by_app += 1
        await super().__call__(scope, receive, send)

    def _answer(self, request: WholeRequest) -> Answer:
        self.answered += 1
        if b"refuse" in request.query or b"fail" in request.query:
            raise LookupError(request.query.decode("latin-1"))
        seen = (request.method, request.path, request.query, list(request.headers), request.body, request.request_id)
        told = b"%b %b" % (request.body[:8], sha256(repr(seen).encode()).hexdigest().encode())
        headers = [(b"content-length", b"%d" % len(told))]
        if b"inject" in request.query:
            headers.append((b"location", b"/\r\nset-cookie: a=b"))
        if b"page" in request.query:
            headers.append((b"content-security-policy", b"default-src 'self'"))
        return Answer(200, headers, told)

    def _refuse(self, request: WholeRequest, error: Exception) -> Answer:
        if b"fail" in request.query:
            raise error
        told = type(error).__name__.encode()
        return Answer(400, [(b"content-length", b"%d" % len(told))], told)


async def _other(request: Request) -> Response:
    return PlainTextResponse("other")


def exchange_direct(
    protocol_class: type[HttpToolsProtocol], fragments: Sequence[bytes], hop: Hop
) -> tuple[Outcome, DirectApplication]:
    """What a new connection answers to the fragments, and the application behind it."""

    async def run() -> tuple[Outcome, DirectApplication]:
        app = DirectApplication(hop)
        peer = Peer(protocol_class, app)
        await peer.send(*fragments)
        outcome = Outcome(octets=peer.octets, is_closed=peer.transport.is_closed, requests=peer.state.total_requests)
        peer.end()
        await peer.settle()
        return outcome, app

    return asyncio.run(run())
