"""Direct endpoints and answers in memory on real sockets, in plain http and under TLS."""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.hop import Call
from support.direct_wire import MAX_BODY, DirectApplication, GatedHop
from support.http_wire import Application, without_access_log
from support.local_tls import local_certificate
from support.processes import free_port
from support.served import served_by

PATIENCE_S = 10


class Gate(GatedHop):
    """Opened from the test's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.begun = threading.Semaphore(0)

    def start(self, call: Callable[[], Any], told: Callable[[Call], None]) -> None:
        self.loop = asyncio.get_running_loop()
        super().start(call, told)
        self.begun.release()

    def open_from_outside(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.open)


@dataclass
class Served:
    port: int
    app: DirectApplication
    memory: Application
    hop: Gate
    server: uvicorn.Server
    trust: Path | None

    def connect(self) -> socket.socket:
        without_access_log()
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        if self.trust is None:
            return plain
        return ssl.create_default_context(cafile=str(self.trust)).wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.fixture(params=["plain", "tls"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    hop, memory = Gate(), Application()
    hop.is_open = True
    app = DirectApplication(hop, from_memory=memory)
    tls, port = local_certificate(tmp_path) if request.param == "tls" else None, free_port()
    with served_by(DirectProtocol, app, port, tls) as server:
        yield Served(port, app, memory, hop, server, None if tls is None else tls[0])
        hop.is_open = True


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post(body: bytes, target: bytes = b"/direct") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (target, len(body), body)


def get(target: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: a", *headers, b"", b""])


LAST = get(b"/other", b"Connection: close")


def said(client: socket.socket) -> list[bytes]:
    """Each answer up to the end of the connection, without its status line's version."""
    octets = b""
    while piece := client.recv(65_536):
        octets += piece
    return octets.split(b"HTTP/1.1 ")[1:]


def one_answer(client: socket.socket) -> bytes:
    """The next answer, whole."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        octets += client.recv(65_536)
    head, _, content = octets.partition(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: (\d+)", head)
    assert found is not None
    length = int(found[1])
    while len(content) < length:
        content += client.recv(65_536)
    return head + b"\r\n\r\n" + content


def test_a_conversation_of_both_ways(served: Served) -> None:
    """Pipelined, and one by one in many pieces: the same answers in the same order."""
    asked = [post(b"one"), get(b"/memory/a"), get(b"/other"), post(b"two"), post(b"x" * (MAX_BODY + 1))]
    with served.connect() as client:
        client.sendall(b"".join(asked) + LAST)
        together = said(client)
    assert [answer[:3] for answer in together] == [b"200", b"200", b"200", b"200", b"400", b"200"]
    assert b"\r\n\r\none " in together[0]
    assert b"\r\n\r\ntwo " in together[3]
    assert together[4].endswith(b"BodyTooLarge")
    assert (served.app.by_app, served.memory.by_memory) == (5, 0)  # what waits behind an answer is the application's
    with served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        apart = []
        for request in asked:
            for octet in request:
                client.sendall(bytes([octet]))
            apart.append(one_answer(client))
    contents = [answer.partition(b"\r\n\r\n")[2] for answer in together[:-1]]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in apart] == contents
    assert (served.app.by_app, served.memory.by_memory) == (5 + 2, 1)  # /other, and the body that is too large


def test_both_ways_carry_the_same_headers(served: Served) -> None:
    with served.connect() as client:
        client.sendall(get(b"/direct?a"))
        without_asgi = one_answer(client)
        assert served.app.by_app == 0
        client.sendall(get(b"/direct?a", b"Connection: close"))
        (by_asgi,) = said(client)
    assert served.app.by_app == 1
    for name in (b"content-security-policy", b"strict-transport-security", b"x-request-id", b"x-content-type-options"):
        assert b"\r\n%b: " % name in without_asgi
    names = [line.partition(b":")[0] for line in without_asgi.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
    assert [*names, b"connection"] == [
        line.partition(b":")[0] for line in by_asgi.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    ]


def test_a_client_that_leaves_while_it_is_answered(served: Served) -> None:
    served.hop.is_open = False
    leaving = served.connect()
    leaving.sendall(post(b"left"))
    assert served.hop.begun.acquire(timeout=PATIENCE_S)
    leaving.close()
    _until(lambda: not served.server.server_state.connections)
    served.hop.open_from_outside()
    _until(lambda: served.app.answered == 1)
    with served.connect() as client:
        client.sendall(post(b"here") + LAST)
        assert b"\r\n\r\nhere " in said(client)[0]


def test_a_shutdown_waits_for_what_is_in_flight(served: Served) -> None:
    served.hop.is_open = False
    with served.connect() as idle, served.connect() as client:
        idle.sendall(get(b"/memory/a"))
        client.sendall(post(b"flying"))
        assert served.hop.begun.acquire(timeout=PATIENCE_S)
        assert idle.recv(65_536).startswith(b"HTTP/1.1 200 ")
        served.server.should_exit = True
        assert idle.recv(1) == b""  # the shutdown has begun
        served.hop.open_from_outside()
        (answer,) = said(client)
    assert b"\r\n\r\nflying " in answer
    assert b"\r\nconnection: close\r\n" in answer


def test_a_request_cut_off_is_no_request(served: Served) -> None:
    """Under TLS, too, an end without a body's end is not taken for its end."""
    cut = served.connect()
    cut.sendall(post(b"octets")[:-1])
    _until(lambda: bool(served.server.server_state.connections))
    cut.close()
    _until(lambda: not served.server.server_state.connections)
    assert (served.app.answered, served.app.by_app) == (0, 0)
