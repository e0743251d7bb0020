"""Direct endpoints without ASGI: the octets that uvicorn's own class would have written, in its order."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from support.direct_wire import MAX_BODY, DirectApplication, GatedHop, exchange_direct
from support.http_wire import Peer, split


def get(*headers: bytes, target: bytes = b"/direct?a=b", method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/%b" % (method, target, version), b"Host: a", *headers, b"", b""])


def post(body: bytes, *headers: bytes, target: bytes = b"/direct", method: bytes = b"POST") -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: a", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


GET, POST = get(), post(b"octets")
OTHER = get(target=b"/other")
CHUNKED = b"POST /direct HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\noct\r\n3\r\nets\r\n0\r\n\r\n"
WITHOUT_ASGI = {
    "get": GET,
    "no query": get(target=b"/direct"),
    "an empty query": get(target=b"/direct?"),
    "post": POST,
    "post with a query": post(b"octets", target=b"/direct?a=b"),
    "an empty body": post(b""),
    "the largest body": post(b"x" * MAX_BODY),
    "repeated headers": get(b"Cookie: a", b"Cookie: b", b"COOKIE: c"),
    "refused": get(target=b"/direct?refuse"),
    "a page's policy": get(target=b"/direct?page"),
    "connection: keep-alive": get(b"Connection: keep-alive"),
    "an empty line first": b"\r\n" + GET,
    "a length of nothing": get(b"Content-Length: 0"),
    "posted": post(b"x", target=b"/posted"),
}
BY_ASGI = {
    "HEAD": get(method=b"HEAD"),
    "OPTIONS": get(method=b"OPTIONS"),
    "PUT": post(b"", method=b"PUT"),
    "DELETE": get(method=b"DELETE"),
    "GET of what is posted": get(target=b"/posted"),
    "another path": OTHER,
    "nothing there": get(target=b"/absent"),
    "below": get(target=b"/direct/"),
    "an escape": get(target=b"/%64irect"),
    "a fragment": get(target=b"/direct?a#b"),
    "absolute form": get(target=b"http://a/direct"),
    "two slashes": get(target=b"//direct"),
    "parameters": get(target=b"/direct;a"),
    "HTTP/1.0": get(version=b"1.0"),
    "HTTP/1.0, kept": get(b"Connection: keep-alive", version=b"1.0"),
    "connection: close": get(b"Connection: close"),
    "chunked": CHUNKED,
    "chunked with a trailer": CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n",
    "expect": post(b"octets", b"Expect: 100-continue"),
    "if-none-match": get(b"If-None-Match: *"),
    "range": get(b"Range: bytes=0-1"),
    "upgrade: h2c": get(b"Connection: Upgrade", b"Upgrade: h2c"),
    "upgrade: websocket": get(b"Connection: Upgrade", b"Upgrade: websocket"),
    "a GET with a body": get(b"Content-Length: 3") + b"xyz",
    "too large": post(b"x" * (MAX_BODY + 1)),
    "much too large": post(b"x" * 200_000),
}
REFUSED = {
    "two lengths": b"POST /direct HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunked": b"POST /direct HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /direct HTTP/1.1\r\n\r\n",
    "a length with a sign": b"POST /direct HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "an endless length": b"POST /direct HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 60 + b"\r\n\r\nabc",
    "a space before the colon": b"POST /direct HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc",
    "line feeds alone": b"GET /direct HTTP/1.1\nHost: a\n\n",
    "a target that is not ASCII": get(target=b"/direct?\xff"),
    "a NUL in a header": b"GET /direct HTTP/1.1\r\nHost: a\x00\r\n\r\n",
    "a space in the target": get(target=b"/direct?a b"),
}


@pytest.fixture(scope="module")
def hop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hop]:
    database = Database.open(sqlite_url(tmp_path_factory.mktemp("hop") / "unused.db"))
    yield Hop(database)
    database.dispose()


def sizes(octets: bytes) -> tuple[int, ...]:
    return (len(octets), 1, 7, 40) if len(octets) < 10_000 else (len(octets), 40_000)


@pytest.mark.parametrize("name", WITHOUT_ASGI)
def test_what_is_answered_without_asgi_is_what_the_application_would_have(name: str, hop: Hop) -> None:
    octets = WITHOUT_ASGI[name]
    for size in sizes(octets):
        theirs, _ = exchange_direct(BoundedHttpProtocol, split(octets, size), hop)
        ours, app = exchange_direct(DirectProtocol, split(octets, size), hop)
        assert ours == theirs
        assert (app.by_app, app.answered) == (0, 1)
    assert theirs.octets.startswith((b"HTTP/1.1 200 OK\r\ndate: ", b"HTTP/1.1 400 Bad Request\r\ndate: "))
    assert b"\r\nstrict-transport-security: " in theirs.octets
    assert b"\r\nx-request-id: AAAAAAAAAAAAAAAAAAAA\r\n" in theirs.octets


@pytest.mark.parametrize("name", BY_ASGI)
def test_what_is_left_to_the_application(name: str, hop: Hop) -> None:
    octets = BY_ASGI[name]
    for size in sizes(octets):
        theirs, _ = exchange_direct(BoundedHttpProtocol, split(octets, size), hop)
        ours, app = exchange_direct(DirectProtocol, split(octets, size), hop)
        assert ours == theirs
        assert app.by_app == 1
    assert theirs.octets.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_alike(name: str, hop: Hop) -> None:
    for octets in (REFUSED[name], REFUSED[name] + GET):
        theirs, _ = exchange_direct(BoundedHttpProtocol, [octets], hop)
        ours, app = exchange_direct(DirectProtocol, [octets], hop)
        assert ours.is_closed
        assert ours == theirs
        assert b"HTTP/1.1 400 " in ours.octets
        assert app.answered == 0


@pytest.mark.parametrize("octet", range(256))
def test_a_target_means_the_same_on_both_ways(octet: int, hop: Hop) -> None:
    """Which octets end a query, or a request, is nobody's opinion but the parser's."""
    for target in (b"/direct?a%cb" % octet, b"/direct%cb" % octet):
        theirs, _ = exchange_direct(BoundedHttpProtocol, [get(target=target)], hop)
        ours, _ = exchange_direct(DirectProtocol, [get(target=target)], hop)
        assert ours == theirs


def test_a_header_of_two_lines_is_not_written(hop: Hop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    ours, app = exchange_direct(DirectProtocol, [get(target=b"/direct?inject")], hop)
    theirs, _ = exchange_direct(BoundedHttpProtocol, [get(target=b"/direct?inject")], hop)
    assert b"set-cookie" not in ours.octets + theirs.octets
    assert ours.octets.startswith(b"HTTP/1.1 500 ")
    assert ours.is_closed
    assert app.by_app == 0


def test_an_endpoint_that_fails_to_refuse_says_nothing_of_it(hop: Hop, capsys: pytest.CaptureFixture[str]) -> None:
    octets = get(target=b"/direct?fail")
    theirs, _ = exchange_direct(BoundedHttpProtocol, [octets], hop)
    assert "LookupError: fail" in capsys.readouterr().err
    ours, app = exchange_direct(DirectProtocol, [octets + GET], hop)
    assert ours == theirs
    assert ours.octets.endswith(b"\r\n\r\nInternal Server Error")
    assert ours.is_closed
    assert app.by_app == 0
    assert "LookupError: fail" in capsys.readouterr().err


def connected(talk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(talk)


def bodies(peer: Peer) -> list[bytes]:
    """The start of each answer's content, in their order."""
    return [part.split(b"\r\n\r\n")[1].split(b" ")[0] for part in peer.octets.split(b"HTTP/1.1 200 OK")[1:]]


def test_answers_keep_the_order_of_the_requests() -> None:
    async def talk() -> None:
        hop = GatedHop()
        app = DirectApplication(hop)
        peer = Peer(DirectProtocol, app)
        peer.protocol.data_received(post(b"one") + post(b"two") + OTHER + post(b"three"))
        await peer.settle()
        assert peer.octets == b""
        assert peer.transport.is_paused  # no more is read than is being answered
        assert app.by_app == 0  # what comes behind waits for it
        hop.open()
        await peer.settle()
        assert bodies(peer) == [b"one", b"two", b"other", b"three"]
        assert app.by_app == 3
        assert not peer.transport.is_paused
        await peer.send(post(b"four"))
        await peer.send(post(b"five"))
        assert bodies(peer)[4:] == [b"four", b"five"]
        assert app.by_app == 3
        assert peer.state.total_requests == 6
        peer.end()

    connected(talk())


def test_an_answer_that_waits_behind_the_applications() -> None:
    async def talk() -> None:
        hop = GatedHop()
        app = DirectApplication(hop)
        peer = Peer(DirectProtocol, app)
        peer.protocol.data_received(CHUNKED + post(b"behind"))
        await peer.settle()
        assert (peer.octets, app.by_app) == (b"", 1)
        hop.open()
        await peer.settle()
        assert bodies(peer) == [b"octets", b"behind"]
        peer.end()

    connected(talk())


def test_what_follows_garbage_is_not_answered() -> None:
    async def talk() -> None:
        hop = GatedHop()
        app = DirectApplication(hop)
        peer = Peer(DirectProtocol, app)
        peer.protocol.data_received(POST + b"\x00garbage\r\n\r\n" + POST)
        hop.open()
        await peer.settle()
        assert peer.octets.count(b"HTTP/1.1 ") == peer.octets.count(b"HTTP/1.1 400 ") == 1
        assert peer.transport.is_closed
        assert app.answered == 1
        peer.end()

    connected(talk())


def test_too_many_in_the_pipeline() -> None:
    async def talk() -> None:
        hop = GatedHop()
        peer = Peer(DirectProtocol, DirectApplication(hop))
        peer.protocol.data_received(GET * 100)
        assert peer.transport.is_closed
        hop.open()
        await peer.settle()
        assert peer.octets == b""
        peer.end()

    connected(talk())


def test_a_client_that_left_is_not_written_to() -> None:
    async def talk() -> None:
        for octets in (POST, POST + OTHER):
            hop = GatedHop()
            app = DirectApplication(hop)
            peer = Peer(DirectProtocol, app)
            peer.protocol.data_received(octets)
            peer.end()
            hop.open()
            await peer.settle()
            assert peer.octets == b""
            assert app.answered == 1  # what was begun is done, as in uvicorn's task
            assert app.by_app == 0
            assert not peer.state.connections
            assert isinstance(peer.protocol, DirectProtocol)
            assert peer.protocol._idle_timer is None

    connected(talk())


def test_a_request_in_flight_is_answered_before_a_shutdown() -> None:
    async def talk() -> None:
        hop = GatedHop()
        peer = Peer(DirectProtocol, DirectApplication(hop))
        peer.protocol.data_received(POST)
        peer.protocol.shutdown()
        assert not peer.transport.is_closed
        hop.open()
        await peer.settle()
        assert bodies(peer) == [b"octets"]
        assert b"\r\nconnection: close\r\n\r\n" in peer.octets
        assert peer.transport.is_closed
        peer.end()

    connected(talk())


def test_a_request_half_there_is_answered_before_a_shutdown(hop: Hop) -> None:
    async def talk() -> None:
        app = DirectApplication(hop)
        peer = Peer(DirectProtocol, app)
        await peer.send(POST[:-2])
        peer.protocol.shutdown()
        await peer.send(POST[-2:])
        assert bodies(peer) == [b"octets"]
        assert app.by_app == 1
        assert peer.transport.is_closed
        peer.end()

    connected(talk())


def test_a_client_that_does_not_read_is_the_applications(hop: Hop) -> None:
    async def talk() -> None:
        app = DirectApplication(hop)
        peer = Peer(DirectProtocol, app)
        peer.protocol.pause_writing()
        peer.protocol.data_received(POST)
        await peer.settle()
        assert (peer.octets, app.by_app) == (b"", 1)
        peer.protocol.resume_writing()
        await peer.settle()
        assert bodies(peer) == [b"octets"]
        peer.end()

    connected(talk())


@pytest.mark.parametrize("half", [GET[:20], POST[:-2], post(b"")[:-1]])
def test_a_request_that_does_not_end_ends_the_connection(half: bytes, hop: Hop) -> None:
    class Hurried(DirectProtocol):
        _head_timeout_s = _body_timeout_s = 0.05

    async def talk() -> None:
        app = DirectApplication(hop)
        peer = Peer(Hurried, app)
        await peer.send(half)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not peer.transport.is_closed:
            assert loop.time() < began + 5
            await asyncio.sleep(0.01)
        assert (peer.octets, app.answered) == (b"", 0)
        peer.end()

    connected(talk())


def test_a_held_body_has_a_bodys_time(hop: Hop) -> None:
    class HurriedHead(DirectProtocol):
        _head_timeout_s = 0.05

    async def talk() -> None:
        peer = Peer(HurriedHead, DirectApplication(hop))
        await peer.send(POST[:-2])
        await asyncio.sleep(0.2)
        assert not peer.transport.is_closed
        await peer.send(POST[-2:])
        assert bodies(peer) == [b"octets"]
        peer.end()

    connected(talk())


def test_an_idle_connection_is_ended_and_one_in_flight_is_not() -> None:
    async def talk() -> None:
        kept_s, hop = 1, GatedHop()
        flying = Peer(DirectProtocol, DirectApplication(hop), timeout_keep_alive=kept_s)
        opened = GatedHop()
        opened.is_open = True
        idle = Peer(DirectProtocol, DirectApplication(opened), timeout_keep_alive=kept_s)
        await idle.send(POST)
        await flying.send(POST)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not idle.transport.is_closed:
            assert loop.time() < began + 10 * kept_s
            await asyncio.sleep(0.01)
        assert loop.time() >= began + kept_s * 0.9
        assert not flying.transport.is_closed
        hop.open()
        await flying.settle()
        assert bodies(flying) == [b"octets"]
        flying.end()
        idle.end()

    connected(talk())


@pytest.mark.parametrize("settings", [{"root_path": "/below"}, {"limit_concurrency": 100}])
def test_settings_that_only_the_ordinary_way_honours(settings: dict[str, Any], hop: Hop) -> None:
    async def talk() -> None:
        app = DirectApplication(hop)
        peer = Peer(DirectProtocol, app, **settings)
        await peer.send(GET + POST)
        assert app.by_app == 2
        peer.end()

    connected(talk())


def test_connections_share_a_commit_and_hear_their_own_answers(tmp_path: Path) -> None:
    """On SQLite what is ready in one turn of the loop is one transaction."""

    async def talk() -> None:
        database = Database.open(sqlite_url(tmp_path / "together.db"))
        commits = []
        together = database.together

        def counted() -> Any:  # noqa: ANN401 - as Database.together
            commits.append(1)
            return together()

        database.together = counted  # type: ignore[method-assign]  # counts, and does the same
        app = DirectApplication(Hop(database))
        peers = [Peer(DirectProtocol, app) for _ in range(5)]
        for number, peer in enumerate(peers):
            peer.protocol.data_received(post(b"%d" % number))
        await peers[0].settle()
        assert [bodies(peer) for peer in peers] == [[b"%d" % number] for number in range(5)]
        assert (len(commits), app.by_app, app.answered) == (1, 0, 5)
        for peer in peers:
            peer.end()
        database.dispose()

    connected(talk())
