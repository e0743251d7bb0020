"""An ASGI application as an httpx2 transport: no sockets, no threads of its own, cookies as a browser keeps them."""

import asyncio

import httpx2
from starlette.types import ASGIApp, Message, Scope


class AsgiTransport(httpx2.BaseTransport):
    """Each request runs the application in an event loop of its own. Exceptions pass through to the test."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return asyncio.run(self._answer(request, request.read()))

    async def _answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("192.0.2.1", 50_000),
            "server": (request.url.host, request.url.port or 443),
            "state": {},
        }
        sent: list[Message] = []
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return httpx2.Response(sent[0]["status"], headers=sent[0]["headers"], content=content, request=request)
