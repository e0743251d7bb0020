"""Answers that are not in memory, told a little later without ASGI: the same octets, in the order of the requests."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from support.http_wire import Application, Peer, without_access_log

GET = b"GET /memory/later HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /memory/later HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\noctets"
AT_ONCE = b"GET /memory/here HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def _plain() -> None:
    without_access_log()


def connected(talk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(talk)


@pytest.mark.parametrize("octets", [GET, POST])
def test_what_is_told_later_is_what_the_application_would_have_said(octets: bytes) -> None:
    async def talk() -> None:
        theirs, app = Peer(BoundedHttpProtocol, Application()), Application()
        ours = Peer(DirectProtocol, app)
        await theirs.send(octets)
        await ours.send(octets)
        assert (ours.octets, app.by_app, len(app.begun)) == (b"", 0, 1)
        app.begun.pop()()
        assert ours.octets == theirs.octets != b""
        await ours.send(octets)
        app.begun.pop()()
        assert ours.octets == theirs.octets * 2
        assert (app.by_app, ours.state.total_requests) == (0, 2)
        for peer in (theirs, ours):
            peer.end()

    connected(talk())


def test_what_comes_behind_waits_for_it() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(DirectProtocol, app)
        peer.protocol.data_received(POST + AT_ONCE)
        await peer.settle()
        assert (peer.octets, app.by_app) == (b"", 0)
        app.begun.pop()()
        await peer.settle()
        assert peer.octets.index(b"POST /memory/later") < peer.octets.index(b"GET /memory/here")
        assert app.by_app == 1
        peer.end()

    connected(talk())


def test_a_known_head_behind_it_waits_for_it_as_well() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(DirectProtocol, app)
        await peer.send(AT_ONCE)
        assert app.heads.find(AT_ONCE) is not None
        before = len(peer.octets)
        peer.protocol.data_received(POST)
        peer.protocol.data_received(AT_ONCE)
        await peer.settle()
        assert len(peer.octets) == before
        app.begun.pop()()
        await peer.settle()
        assert peer.octets.index(b"POST /memory/later") < peer.octets.rindex(b"GET /memory/here")
        assert (app.by_memory, app.by_app) == (2, 1)
        peer.end()

    connected(talk())


def test_a_client_that_left_hears_nothing() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(DirectProtocol, app)
        await peer.send(GET)
        peer.end()
        app.begun.pop()()
        assert peer.octets == b""
        assert not peer.state.connections

    connected(talk())


def test_it_is_told_before_a_shutdown() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(DirectProtocol, app)
        await peer.send(GET)
        peer.protocol.shutdown()
        assert not peer.transport.is_closed
        app.begun.pop()()
        assert b"\r\nconnection: close\r\n" in peer.octets
        assert peer.octets.partition(b"\r\n\r\n")[2].startswith(b"GET /memory/later")
        assert peer.transport.is_closed
        peer.end()

    connected(talk())


def test_what_memory_begins_nothing_for_is_the_applications() -> None:
    async def talk() -> None:
        app = Application()
        peer = Peer(DirectProtocol, app)
        await peer.send(GET.replace(b"later", b"absent"))
        assert (app.by_app, app.by_memory, app.begun) == (1, 0, [])
        assert peer.octets.startswith(b"HTTP/1.1 200 OK")
        peer.end()

    connected(talk())
