"""A connection's bounds in time and number, over a transport that only remembers."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from ca_core.kernel.web.protocol import MAX_HEAD_BYTES, MAX_PIPELINED, BoundedHttpProtocol

LIMIT_S = 10
HEAD = b"GET /x HTTP/1.1\r\nHost: localhost\r\n"


class RememberingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio's own
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Impatient(BoundedHttpProtocol):
    _head_timeout_s = 0.02
    _body_timeout_s = 0.02


class Patient(BoundedHttpProtocol):
    """Its own time is over long after the test's."""

    _head_timeout_s = 3_600
    _body_timeout_s = 3_600


class Application:
    """Reads the body and answers 204; keeps what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.answered = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        self.answered.set()


def connect(kind: type[BoundedHttpProtocol], app: Application) -> tuple[BoundedHttpProtocol, RememberingTransport]:
    config = uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None)
    protocol = kind(config, ServerState(), {}, asyncio.get_running_loop())
    transport = RememberingTransport()
    protocol.connection_made(transport)
    return protocol, transport


@pytest.mark.parametrize(
    "octets",
    [b"", b"GET", HEAD, b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"],
    ids=["nothing", "line", "head", "body"],
)
def test_what_does_not_come_in_time_ends_the_connection(octets: bytes) -> None:
    async def run() -> None:
        protocol, transport = connect(Impatient, Application())
        if octets:
            protocol.data_received(octets)
        await asyncio.wait_for(transport.closed.wait(), LIMIT_S)
        assert b" 200 " not in transport.written
        protocol.connection_lost(None)
        await asyncio.sleep(0)

    asyncio.run(run())


def test_a_whole_request_ends_its_time() -> None:
    """After it, uvicorn's own keep-alive time runs, and none of ours."""

    async def run() -> None:
        app = Application()
        protocol, transport = connect(Patient, app)
        protocol.data_received(HEAD + b"\r\n")
        await asyncio.wait_for(app.answered.wait(), LIMIT_S)
        assert transport.written.startswith(b"HTTP/1.1 204 ")
        assert not transport.is_closing()
        assert protocol._deadline is None
        protocol.connection_lost(None)

    asyncio.run(run())


def test_trailers_are_dropped() -> None:
    async def run() -> None:
        app = Application()
        protocol, _ = connect(Patient, app)
        protocol.data_received(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n")
        await asyncio.wait_for(app.answered.wait(), LIMIT_S)
        assert [name for name, _ in app.scopes[0]["headers"]] == [b"transfer-encoding"]
        protocol.connection_lost(None)

    asyncio.run(run())


@pytest.mark.parametrize("size", [100, 4_096, 5_000, 65_536])
def test_a_head_is_bounded_however_it_is_cut(size: int) -> None:
    async def run() -> None:
        protocol, transport = connect(Patient, Application())
        octets = HEAD + b"X: " + b"v" * (MAX_HEAD_BYTES + 5_000)
        for start in range(0, len(octets), size):
            if not transport.is_closing():
                protocol.data_received(octets[start : start + size])
        assert transport.is_closing()
        assert transport.written.startswith(b"HTTP/1.1 431 ")
        protocol.connection_lost(None)

    asyncio.run(run())


def test_a_body_of_any_size_is_no_head() -> None:
    async def run() -> None:
        app = Application()
        protocol, transport = connect(Patient, app)
        body = b"b" * (4 * MAX_HEAD_BYTES)
        protocol.data_received(b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body + HEAD + b"\r\n")
        await asyncio.wait_for(app.answered.wait(), LIMIT_S)
        assert not transport.is_closing()
        protocol.connection_lost(None)

    asyncio.run(run())


def test_no_more_requests_wait_than_may() -> None:
    async def run() -> None:
        app = Application()
        protocol, transport = connect(Patient, app)
        protocol.data_received((HEAD + b"\r\n") * 50_000)
        assert transport.is_closing()
        assert len(protocol.pipeline) <= MAX_PIPELINED
        protocol.connection_lost(None)
        await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize("target", [b"/\xff", b"/x?\xe7\x8e\x8b"])
def test_a_target_is_ascii(target: bytes) -> None:
    async def run() -> None:
        app = Application()
        protocol, transport = connect(Patient, app)
        protocol.data_received(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert transport.written.startswith(b"HTTP/1.1 400 ")
        assert transport.is_closing()
        assert app.scopes == []
        protocol.connection_lost(None)

    asyncio.run(run())
