"""An HTTP protocol class of uvicorn's, fed fragment by fragment without a socket, and what it writes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ca_core.kernel.web.known_heads import KnownHeads

MAX_BODY = 64
_TURNS = 40


class Application:
    """Answers each request with a digest of all that the application sees of it; more than MAX_BODY with 413.

    As a `FromMemory` it has the same answers to what is under /memory, unless the request names `absent`; where the
    target names `later`, whoever calls what then lies in `begun` has it told. `by_app` and `by_memory` count who
    answered. Answers that are the application's alone tell what headers it saw. A request for /wait is answered when
    `release` is set.
    """

    def __init__(self) -> None:
        self.by_app = self.by_memory = 0
        self.heads = KnownHeads()
        self.begun: list[Callable[[], None]] = []
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await self.release.wait()
        body = b""
        while scope["method"] != "GET":
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if len(body) > MAX_BODY or not message["more_body"]:
                break
        status, content = 413 if len(body) > MAX_BODY else 200, _content(scope["method"], scope["raw_path"], body)
        self.by_app += 1
        headers = _headers(content)
        if b"absent" in scope["raw_path"] or b"absent" in body or scope["path"] == "/other":
            headers.append(
                (b"seen", sha256(repr((scope["headers"], scope["query_string"])).encode()).hexdigest().encode())
            )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    @property
    def from_memory(self) -> "Application":
        return self

    @property
    def max_body_bytes(self) -> int:
        return MAX_BODY

    def takes(self, method: bytes, target: bytes) -> bool:
        return method in (b"GET", b"POST") and target.startswith(b"/memory") and b"?" not in target

    def find(self, method: bytes, target: bytes, body: bytes) -> bytes | None:
        if b"absent" in target or b"absent" in body or b"later" in target:
            return None
        if b"broken" in target:
            raise LookupError("a fault of memory's own")
        return self._octets(method, target, body)

    def begin(self, method: bytes, target: bytes, body: bytes, told: Callable[[bytes], None]) -> bool:
        if b"later" not in target:
            return False
        self.begun.append(lambda: told(self._octets(method, target, body)))
        return True

    def _octets(self, method: bytes, target: bytes, body: bytes) -> bytes:
        self.by_memory += 1
        content = _content(method.decode(), target, body if method == b"POST" else b"")
        lines = [b"%b: %b\r\n" % header for header in _headers(content)]
        return b"".join([*lines, b"\r\n", content])


def _content(method: str, path: bytes, body: bytes) -> bytes:
    return b"%b %b %b" % (method.encode(), path[:40], sha256(body).hexdigest()[:16].encode())


def _headers(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % len(content)), (b"content-type", b"text/plain")]


class Transport(asyncio.Transport):
    """Keeps what is written; tells its protocol to pause where `limit` octets lie unread."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.protocol: Any = None
        self.is_paused = self.is_closed = False
        self._limit = limit

    def write(self, data: Any) -> None:  # noqa: ANN401 - as asyncio's
        if not self.is_closed:
            self.written.append(bytes(data))
            if self._limit is not None and sum(map(len, self.written)) > self._limit:
                self.protocol.pause_writing()

    def read_all(self) -> None:
        """The client reads again."""
        self._limit = None
        self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio's
        return default


class Peer:
    """One connection, inside a running loop."""

    def __init__(self, protocol_class: type[HttpToolsProtocol], app: ASGIApp, **settings: Any) -> None:  # noqa: ANN401 - as uvicorn's
        config = uvicorn.Config(
            app, http=protocol_class, ws="none", lifespan="off", access_log=False, proxy_headers=False, **settings
        )
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"Mon, 02 Mar 2026 01:00:00 GMT")]
        self.transport = Transport()
        self.protocol = protocol_class(config, self.state, {}, asyncio.get_running_loop())
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    async def send(self, *fragments: bytes) -> None:
        """As a socket would hand them over: none while reading is paused, none after the end."""
        for fragment in fragments:
            for _ in range(_TURNS):
                if not self.transport.is_paused:
                    break
                await asyncio.sleep(0)
            assert self.transport.is_closed or not self.transport.is_paused
            if self.transport.is_closed:
                break
            self.protocol.data_received(fragment)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    @property
    def octets(self) -> bytes:
        return b"".join(self.transport.written)

    def end(self) -> None:
        self.protocol.connection_lost(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    octets: bytes
    is_closed: bool
    requests: int


def without_access_log() -> None:
    """As `access_log=False` means it: pytest gives the logger handlers of its own when a test's phase begins, and a
    connection that has an access log to write answers nothing without ASGI."""
    logging.getLogger("uvicorn.access").handlers = []


def exchange(protocol_class: type[HttpToolsProtocol], fragments: Sequence[bytes]) -> tuple[Outcome, Application]:
    """What a new connection answers to the fragments, and who answered."""

    async def run() -> tuple[Outcome, Application]:
        app = Application()
        peer = Peer(protocol_class, app)
        await peer.send(*fragments)
        outcome = Outcome(octets=peer.octets, is_closed=peer.transport.is_closed, requests=peer.state.total_requests)
        peer.end()
        await peer.settle()
        return outcome, app

    return asyncio.run(run())


def split(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]
