"""The same octets on the wire as from uvicorn's own class, whoever answers; and who does."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from ca_core.kernel.web.from_memory import FromMemoryProtocol
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from support.http_wire import MAX_BODY, Application, Peer, Transport, exchange, split

GET = b"GET /memory/a HTTP/1.1\r\nHost: a\r\n\r\n"
ABSENT = b"GET /memory/absent HTTP/1.1\r\nHost: a\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes, *headers: bytes, target: bytes = b"/memory") -> bytes:
    lines = [b"POST %b HTTP/1.1" % target, b"Host: a", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


POST = post(b"octets")
CHUNKED = b"POST /memory HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\noct\r\n3\r\nets\r\n0\r\n\r\n"


def get(*headers: bytes, version: bytes = b"1.1", target: bytes = b"/memory/a", method: bytes = b"GET") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/%b" % (method, target, version), b"Host: a", *headers, b"", b""])


IN_MEMORY = {
    "get": (GET, 1),
    "post": (POST, 1),
    "empty body": (post(b""), 1),
    "largest body": (post(b"x" * MAX_BODY), 1),
    "pipelined": (GET + POST + GET + POST, 4),
    "around others": (GET + ABSENT + POST, 1),  # what comes behind one that the application answers waits for it
    "connection: keep-alive": (get(b"Connection: keep-alive"), 1),
    "a GET with a body": (get(b"Content-Length: 3") + b"xyz" + GET, 2),
    "an empty line first": (b"\r\n" + GET, 1),
    "then half of one": (GET + POST[:-3], 1),
    "then a close": (POST + get(b"Connection: close") + GET, 1),
}
THE_APPLICATIONS = {
    "absent": ABSENT,
    "absent by body": post(b"absent"),
    "another path": OTHER,
    "a query": get(target=b"/memory/a?b"),
    "absolute form": get(target=b"http://a/memory/a"),
    "HEAD": get(method=b"HEAD"),
    "PUT": get(b"Content-Length: 0", method=b"PUT"),
    "HTTP/1.0": get(version=b"1.0"),
    "HTTP/1.0, kept": get(b"Connection: keep-alive", version=b"1.0"),
    "connection: close": get(b"Connection: close"),
    "chunked": CHUNKED,
    "chunked with a trailer": CHUNKED[:-2] + b"Expect: 100-continue\r\n\r\n",
    "expect": post(b"octets", b"Expect: 100-continue"),
    "if-none-match": get(b"If-None-Match: *"),
    "upgrade: h2c": get(b"Connection: Upgrade", b"Upgrade: h2c"),
    "upgrade: websocket": get(b"Connection: Upgrade", b"Upgrade: websocket"),
    "too large": post(b"x" * (MAX_BODY + 1)),
    "much too large": post(b"x" * 200_000),
    "too large, then more": post(b"x" * (MAX_BODY + 1)) + GET,
    "broken": get(target=b"/memory/broken"),
}
REFUSED = {
    "two lengths": b"POST /memory HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": b"POST /memory HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length and chunked": b"POST /memory HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /memory/a HTTP/1.1\r\n\r\n",
    "a length with a sign": b"POST /memory HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "a folded header": b"GET /memory/a HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "a space before the colon": b"POST /memory HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc",
    "line feeds alone": b"GET /memory/a HTTP/1.1\nHost: a\n\n",
    "a NUL in a header": b"GET /memory/a HTTP/1.1\r\nHost: a\x00\r\n\r\n",
    "a bad chunk": CHUNKED.replace(b"3\r\noct", b"zz\r\noct"),
}


def sizes(octets: bytes) -> tuple[int, ...]:
    return (len(octets), 1, 7, 40) if len(octets) < 10_000 else (len(octets), 40_000)


@pytest.mark.parametrize("name", IN_MEMORY)
def test_what_memory_answers_is_what_the_application_would_have(name: str) -> None:
    octets, count = IN_MEMORY[name]
    for size in sizes(octets):
        theirs, _ = exchange(BoundedHttpProtocol, split(octets, size))
        ours, app = exchange(FromMemoryProtocol, split(octets, size))
        assert ours == theirs
        assert app.by_memory >= count
    assert theirs.octets.startswith(b"HTTP/1.1 200 OK\r\ndate: ")


@pytest.mark.parametrize("name", THE_APPLICATIONS)
def test_what_is_left_to_the_application(name: str, caplog: pytest.LogCaptureFixture) -> None:
    octets = THE_APPLICATIONS[name]
    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    for size in sizes(octets):
        theirs, _ = exchange(BoundedHttpProtocol, split(octets, size))
        ours, app = exchange(FromMemoryProtocol, split(octets, size))
        assert ours == theirs
        assert app.by_memory <= octets.count(GET)
        assert app.by_memory + app.by_app == 1 + octets.count(GET)
    assert theirs.octets.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 413 ", b"HTTP/1.1 100 "))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_alike(name: str) -> None:
    """Whole, so that uvicorn's own class, too, refuses before its application has begun to answer."""
    for octets in (REFUSED[name], GET + REFUSED[name]):
        theirs, _ = exchange(BoundedHttpProtocol, [octets])
        ours, app = exchange(FromMemoryProtocol, [octets])
        assert ours.is_closed == theirs.is_closed
        assert app.by_memory + app.by_app <= octets.count(b" HTTP/1.1")
        assert ours.octets.count(b"HTTP/1.1 400 ") == theirs.octets.count(b"HTTP/1.1 400 ")


def test_garbage_behind_a_request_comes_too_late_for_its_answer() -> None:
    """uvicorn's own class would refuse first, and never answer what was asked before."""
    ours, app = exchange(FromMemoryProtocol, [GET + POST + b"\x00garbage\r\n\r\n"])
    assert [part[:3] for part in ours.octets.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]
    assert ours.is_closed
    assert (app.by_memory, app.by_app) == (2, 0)


def connected(talk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(talk)


def answers(peer: Peer) -> list[bytes]:
    """The path in each answer's content, in their order."""
    return [part.split(b" ")[-2] for part in peer.octets.split(b"HTTP/1.1 200 OK")[1:]]


def test_answers_keep_the_order_of_the_requests() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(FromMemoryProtocol, app)
        await peer.send(GET + WAIT + GET + POST)
        assert answers(peer) == [b"/memory/a"]
        assert peer.transport.is_paused
        app.release.set()
        await peer.settle()
        assert answers(peer) == [b"/memory/a", b"/wait", b"/memory/a", b"/memory"]
        assert not peer.transport.is_paused
        await peer.send(OTHER + GET)
        assert answers(peer)[4:] == [b"/other", b"/memory/a"]
        await peer.send(GET)
        assert (app.by_memory, app.by_app) == (2, 5)  # who is behind the application's is the application's
        peer.end()

    connected(talk())


def test_connections_do_not_hear_each_others_answers() -> None:
    async def talk() -> None:
        app = Application()
        first, second = Peer(FromMemoryProtocol, app), Peer(FromMemoryProtocol, app)
        one, other = post(b"one", target=b"/memory/1"), post(b"other", target=b"/memory/2")
        for octet in range(max(len(one), len(other))):
            await first.send(one[octet : octet + 1] or b"")
            await second.send(other[octet : octet + 1] or b"")
        assert (answers(first), answers(second)) == ([b"/memory/1"], [b"/memory/2"])
        assert app.by_memory == 2
        first.end()
        second.end()

    connected(talk())


def test_a_client_that_does_not_read_is_not_written_to() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(FromMemoryProtocol, app)
        peer.transport = peer.protocol.transport = type(peer.transport)(limit=300)
        peer.transport.protocol = peer.protocol
        peer.protocol.flow._transport = peer.transport
        peer.protocol.data_received(GET * 15)
        await peer.settle()
        assert len(answers(peer)) == app.by_memory == 3
        assert peer.transport.is_paused
        peer.transport.read_all()
        for _ in range(10):
            await peer.settle()
        assert len(answers(peer)) == 15
        assert app.by_memory == 3
        peer.end()

    connected(talk())


def test_a_request_that_has_begun_is_answered_before_a_shutdown() -> None:
    async def talk() -> None:
        peer = Peer(FromMemoryProtocol, Application())
        await peer.send(GET + POST[:-2])
        peer.protocol.shutdown()
        assert not peer.transport.is_closed
        await peer.send(POST[-2:] + GET)
        assert answers(peer) == [b"/memory/a", b"/memory"]
        assert b"connection: close" in peer.octets
        assert peer.transport.is_closed
        peer.end()
        app = Application()
        idle = Peer(FromMemoryProtocol, app)
        await idle.send(GET)
        idle.protocol.shutdown()
        assert idle.transport.is_closed
        idle.protocol.data_received(GET)  # had arrived already
        assert app.by_memory == 1
        idle.end()

    connected(talk())


def test_an_idle_connection_is_ended_and_a_busy_one_is_not() -> None:
    """uvicorn's keep-alive timeout, after answers of either kind; none while a request is only half there."""

    async def talk() -> None:
        loop, kept_s = asyncio.get_running_loop(), 1
        idle, after_app, half, late = (
            Peer(FromMemoryProtocol, Application(), timeout_keep_alive=kept_s) for _ in range(4)
        )
        await idle.send(GET)
        await after_app.send(GET + OTHER)
        await half.send(GET, POST[:-2])
        await late.send(GET)
        began = loop.time()
        await asyncio.sleep(kept_s / 2)
        await late.send(GET)
        while not (idle.transport.is_closed and after_app.transport.is_closed):
            assert loop.time() < began + 10 * kept_s
            await asyncio.sleep(0.01)
        assert loop.time() >= began + kept_s * 0.9
        assert not late.transport.is_closed
        await half.send(POST[-2:])
        assert answers(half) == [b"/memory/a", b"/memory"]
        while not (late.transport.is_closed and half.transport.is_closed):
            assert loop.time() < began + 10 * kept_s
            await asyncio.sleep(0.01)
        for peer in (idle, after_app, half, late):
            peer.end()

    connected(talk())


def test_empty_lines_keep_no_connection_open() -> None:
    async def talk() -> None:
        loop = asyncio.get_running_loop()
        parsed, known = (Peer(FromMemoryProtocol, Application(), timeout_keep_alive=1) for _ in range(2))
        await parsed.send(GET)
        await known.send(GET, GET)
        began = loop.time()
        while not (parsed.transport.is_closed and known.transport.is_closed):
            assert loop.time() < began + 10
            for peer in (parsed, known):
                peer.protocol.data_received(b"\r\n")
            await asyncio.sleep(0.05)
        assert loop.time() >= began + 0.9
        for peer in (parsed, known):
            peer.end()

    connected(talk())


def test_nothing_is_left_of_a_connection_that_is_lost() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(FromMemoryProtocol, app)
        await peer.send(GET + POST[:-2])
        peer.end()
        await peer.settle()
        assert answers(peer) == [b"/memory/a"]
        assert not peer.state.connections
        assert not peer.state.tasks
        assert isinstance(peer.protocol, FromMemoryProtocol)
        assert peer.protocol._idle_timer is None

    connected(talk())


@pytest.mark.parametrize("settings", [{"root_path": "/below"}, {"limit_concurrency": 100}])
def test_settings_that_only_the_ordinary_way_honours(settings: dict[str, Any]) -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(FromMemoryProtocol, app, **settings)
        await peer.send(GET + POST)
        assert (app.by_memory, app.by_app) == (0, 2)
        peer.end()

    connected(talk())


def test_the_access_log_stays_whole() -> None:
    async def talk() -> None:
        app, log = Application(), logging.getLogger("uvicorn.access")
        kept, log.handlers = log.handlers, [logging.NullHandler()]
        try:
            peer = Peer(FromMemoryProtocol, app)
            log.handlers = [logging.NullHandler()]
            other = FromMemoryProtocol(peer.protocol.config, peer.state, {}, asyncio.get_running_loop())
        finally:
            log.handlers = kept
        other.connection_made(Transport())
        other.data_received(GET)
        await peer.settle()
        assert other.access_log
        assert (app.by_memory, app.by_app) == (0, 1)
        other.connection_lost(None)
        peer.end()

    connected(talk())


def test_an_application_without_memory_is_served() -> None:
    async def talk() -> None:
        app = Application()

        async def plain(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        peer = Peer(FromMemoryProtocol, plain)
        await peer.send(GET + POST + CHUNKED)
        assert len(answers(peer)) == 3
        assert (app.by_memory, app.by_app) == (0, 3)
        peer.end()

    connected(talk())
