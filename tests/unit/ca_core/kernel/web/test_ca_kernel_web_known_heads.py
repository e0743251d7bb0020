"""A request whose head is known is answered without the parser, as the parser's way answers it; whatever else comes
after that head is parsed."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ca_core.kernel.web import protocol as bounds
from ca_core.kernel.web.from_memory import FromMemoryProtocol
from ca_core.kernel.web.known_heads import MAX_KNOWN_BYTES, KnownHeads
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from support.http_wire import Application, Peer, exchange, without_access_log

GET = b"GET /memory/a HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST /memory HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def no_access_log() -> None:
    without_access_log()


class Counting(FromMemoryProtocol):
    """Counts the requests that the parser saw."""

    parsed = 0

    def on_message_begin(self) -> None:
        self.parsed += 1
        super().on_message_begin()


def parsed(peer: Peer) -> int:
    assert isinstance(peer.protocol, Counting)
    return peer.protocol.parsed


def connected(talk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(talk)


AFTER_IT = {
    "another body": [HEAD + b"octets", HEAD + b"others"],
    "one after the other": [GET, HEAD + b"octets", GET, HEAD + b"others", GET],
    "cut in its head": [HEAD + b"octets", HEAD[:20], HEAD[20:] + b"others", GET],
    "cut behind its head": [HEAD + b"octets", HEAD, b"others", GET],
    "cut in its body": [HEAD + b"octets", HEAD + b"oth", b"ers", GET],
    "two at once": [HEAD + b"octets", HEAD + b"others" + HEAD + b"octets", GET],
    "with the next one's beginning": [HEAD + b"octets", HEAD + b"others" + GET[:9], GET[9:], GET],
    "with an empty line behind": [HEAD + b"octets", HEAD + b"others\r\n", GET],
    "an empty line first": [b"\r\n" + GET, b"\r\n" + GET, GET],
    "an empty line left over": [GET, b"\r\n", GET, b"\r\n\r\n", GET],
    "half an empty line left over": [GET, b"\r", b"\n" + GET, GET],
    "what memory does not have": [HEAD + b"octets", HEAD + b"absent", HEAD + b"octets"],
    "a fault of memory's": [GET, b"GET /memory/broken HTTP/1.1\r\nHost: a\r\n\r\n", GET],
    "behind the application's": [GET, OTHER, GET, GET],
    "an end in between": [GET, GET.replace(b"Host", b"Connection: close\r\nHost"), GET],
    "the older version": [GET, GET.replace(b"1.1", b"1.0"), GET],
    "chunked": [
        HEAD + b"octets",
        HEAD.replace(b"Content-Length: 6", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        GET,
    ],
    "nothing": [GET, b"", GET],
}


@pytest.mark.parametrize("name", AFTER_IT)
def test_the_same_answers_as_of_the_parsers_way(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "uvicorn.error")
    theirs, _ = exchange(BoundedHttpProtocol, AFTER_IT[name])
    ours, app = exchange(FromMemoryProtocol, AFTER_IT[name])
    assert ours == theirs
    assert app.by_memory >= 1


def test_empty_lines_between_known_ones_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_HEAD_BYTES", 80)
    fragments = [b"\r\n" if number % 2 else GET for number in range(120)]
    theirs, _ = exchange(BoundedHttpProtocol, fragments)
    ours, app = exchange(FromMemoryProtocol, fragments)
    assert ours == theirs
    assert app.by_memory == 60


def test_what_is_known_is_not_parsed_again_on_any_connection() -> None:
    async def talk() -> None:
        app = Application()
        first, second = Peer(Counting, app), Peer(Counting, app)
        await first.send(GET, GET, HEAD + b"octets", HEAD + b"others")
        await second.send(HEAD + b"octets", GET, OTHER)
        await second.send(GET, GET)
        assert (parsed(first), parsed(second)) == (2, 2)  # OTHER, and the first behind it
        assert (app.by_memory, app.by_app) == (8, 1)
        assert (first.state.total_requests, second.state.total_requests) == (4, 5)
        first.end()
        second.end()

    connected(talk())


def test_what_was_not_from_memory_is_not_known() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(Counting, app)
        long = GET.replace(b"Host: a", b"Host: a\r\nX: " + b"x" * MAX_KNOWN_BYTES)
        secret = GET.replace(b"Host: a", b"Host: a\r\nCookie: a=b")
        for request in (OTHER, HEAD + b"absent", long, secret, b"\n" + GET):
            await peer.send(request, request)
        await peer.send(GET + GET, HEAD[:-1], HEAD[-1:] + b"octets")
        assert parsed(peer) == 13
        assert [head for head in (OTHER, HEAD, long, secret, GET, b"\n" + GET) if app.heads.find(head)] == []
        peer.end()

    connected(talk())


def test_a_known_one_waits_for_an_answer_that_is_due_before() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(Counting, app)
        await peer.send(GET)
        peer.protocol.data_received(WAIT)
        peer.protocol.data_received(GET)
        await peer.settle()
        assert app.by_memory == 1
        app.release.set()
        await peer.settle()
        assert [part.split(b" ")[-2] for part in peer.octets.split(b"HTTP/1.1 200 OK")[1:]] == [
            b"/memory/a",
            b"/wait",
            b"/memory/a",
        ]
        peer.end()

    connected(talk())


def test_a_client_that_does_not_read_is_not_written_to() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(Counting, app)
        await peer.send(GET)
        peer.protocol.pause_writing()
        peer.protocol.data_received(GET)
        assert (app.by_memory, parsed(peer)) == (1, 2)
        peer.protocol.resume_writing()
        await peer.settle()
        assert app.by_app == 1
        peer.end()

    connected(talk())


def test_a_connection_that_is_ending_hears_nothing_more() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(Counting, app)
        await peer.send(GET)
        peer.protocol.shutdown()
        peer.protocol.data_received(GET)
        assert app.by_memory == 1
        peer.end()

    connected(talk())


def test_the_time_for_a_head_ends_with_a_known_one_and_that_for_the_next_begins_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Counting, "_head_timeout_s", 0.2)
    assert bounds.HEAD_TIMEOUT_S > 0.2

    async def talk() -> None:
        app, loop = Application(), asyncio.get_running_loop()
        before = Peer(Counting, app)
        await before.send(GET)
        served, silent = Peer(Counting, app), Peer(Counting, app)
        await served.send(GET)
        assert parsed(served) == 0
        began = loop.time()
        while not silent.transport.is_closed:
            assert loop.time() < began + 10
            await asyncio.sleep(0.01)
        assert not served.transport.is_closed
        await served.send(GET[:9])
        began = loop.time()
        while not served.transport.is_closed:
            assert loop.time() < began + 10
            await asyncio.sleep(0.01)
        for peer in (before, served, silent):
            peer.end()

    connected(talk())


def test_the_oldest_of_many_is_forgotten() -> None:
    heads = KnownHeads()
    for number in range(5_000):
        heads.learn(b"%d" % number, b"GET", b"/%d" % number, 0)
    assert sum(heads.find(b"%d" % number) is not None for number in range(5_000)) == 4_096
    assert heads.find(b"0") is None
    assert heads.find(b"4999") == (b"GET", b"/4999", 0)
