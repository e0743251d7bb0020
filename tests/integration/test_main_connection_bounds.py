"""Connections over real sockets, with TLS and without: one too many, a peer that reads nothing, answers from memory."""

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from ca_core.kernel.database import sqlite_url
from ca_core.kernel.web.connection_bounds import OpenConnections
from ca_core.kernel.web.from_memory import FromMemoryProtocol
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from idp.bench.model import Plan
from idp.demo.bench_country import found_country
from support.http_wire import Application
from support.local_tls import client_context, local_certificate
from support.processes import free_port, start, stop_group, wait_until
from support.served import served_by

CITIZENID = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "citizenid"
PATIENCE_S = 20
LIMIT = 20
BEYOND = 30
WRITE_TIMEOUT_S = 0.6
LARGE = bytes(range(256)) * 65_536  # 16 MiB: more than the sockets' buffers hold
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
BOTH = pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])


@dataclass(frozen=True)
class Server:
    port: int
    context: ssl.SSLContext | None

    def connect(self, *, receive_bytes: int | None = None) -> socket.socket:
        plain = socket.socket()
        if receive_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(PATIENCE_S)
        try:
            plain.connect(("127.0.0.1", self.port))
            return plain if self.context is None else self.context.wrap_socket(plain, server_hostname="127.0.0.1")
        except OSError:
            plain.close()
            raise

    def is_refused(self) -> bool:
        """Whether a connection is over before it said anything."""
        try:
            with self.connect() as connection:
                return connection.recv(1) == b""
        except (ConnectionError, ssl.SSLEOFError):
            return True

    def health(self) -> bytes:
        with self.connect() as connection:
            return asked(connection)


def asked(connection: socket.socket, request: bytes = HEALTH) -> bytes:
    """The answer to a request that has one line of content."""
    connection.sendall(request)
    return answer(connection)


def answer(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1)
        assert piece, head
        head += piece
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    content = b""
    while len(content) < length:
        content += connection.recv(length - len(content))
    return content


def reached(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@BOTH
def test_one_connection_too_many(secured: bool, tmp_path: Path) -> None:
    """It is closed at once, whoever is connected is served, and one line in the log tells of many."""
    port, log = free_port(), tmp_path / "serve.log"
    found_country(
        Plan(folder=tmp_path, database_url=sqlite_url(tmp_path / "citizenid.db"), port=port, citizens=1, workers=1)
    )
    command: list[str | Path] = [CITIZENID, "serve", "--config", tmp_path / "citizenid.toml"]
    context = None
    if secured:
        certificate, key = local_certificate(tmp_path)
        command += ["--certificate", certificate, "--key", key]
        context = client_context(certificate)
    process = start(command, log=log, env={**os.environ, "CITIZENID_MAX_CONNECTIONS": str(LIMIT)})
    server = Server(port, context)

    def answers() -> bool:
        with suppress(OSError):
            return server.health() == b"ok\n"
        return False

    try:
        wait_until(answers, what="citizenid serve", process=process, log=log)
        with ExitStack() as stack:
            open_ones = [stack.enter_context(server.connect()) for _ in range(LIMIT)]
            assert [asked(connection) for connection in open_ones] == [b"ok\n"] * LIMIT
            assert all(server.is_refused() for _ in range(BEYOND))
            assert [asked(connection) for connection in open_ones] == [b"ok\n"] * LIMIT
            open_ones[0].close()
            assert reached(answers)
            assert [asked(connection) for connection in open_ones[1:]] == [b"ok\n"] * (LIMIT - 1)
        assert reached(answers)
    finally:
        stop_group(process)
    lines = [json.loads(line) for line in log.read_text().splitlines() if "connections_ended" in line]
    assert lines and len(lines) < BEYOND / 3
    assert {line["latest"] for line in lines} == {"too_many"}
    assert (lines[0]["ended"], lines[0]["limit"]) == (1, LIMIT)
    assert "Traceback" not in log.read_text()


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """16 MiB, in one piece or in many."""
    length = b"%d" % len(LARGE)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    size = len(LARGE) if scope["path"] == "/whole" else 32_768
    for place in range(0, len(LARGE), size):
        more = place + size < len(LARGE)
        await send({"type": "http.response.body", "body": LARGE[place : place + size], "more_body": more})


@contextmanager
def served(app: ASGIApp, protocol: type[BoundedHttpProtocol], folder: Path, *, secured: bool) -> Iterator[Server]:
    files = local_certificate(folder) if secured else None
    port = free_port()
    with served_by(protocol, app, port, files):
        yield Server(port, None if files is None else client_context(files[0]))


@BOTH
@pytest.mark.parametrize("path", [b"/whole", b"/pieces"])
def test_a_peer_that_reads_nothing_is_given_up(
    secured: bool, path: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its connection ends and what waited for it is dropped; one that reads slowly has all of it."""
    connections = OpenConnections(10)

    class Protocol(FromMemoryProtocol):
        _open_connections = connections
        _write_timeout_s = WRITE_TIMEOUT_S

    request = b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n"
    with served(large, Protocol, tmp_path, secured=secured) as server:
        silent, closing = (server.connect(receive_bytes=65_536) for _ in range(2))
        with silent, closing, server.connect(receive_bytes=65_536) as slow:
            for connection, rest in ((silent, b"\r\n"), (closing, b"Connection: close\r\n\r\n"), (slow, b"\r\n")):
                connection.sendall(request + rest)
            began, taken = time.monotonic(), 0
            while time.monotonic() < began + 4 * WRITE_TIMEOUT_S:
                taken += len(slow.recv(16_384))
                time.sleep(WRITE_TIMEOUT_S / 20)
            assert taken < len(LARGE)
            assert connections.count == 1
            while taken < len(LARGE):
                taken += len(slow.recv(65_536))
            for connection in (silent, closing):
                assert was_cut_off(connection)
        assert reached(lambda: connections.count == 0)
    assert "reads_nothing" in capsys.readouterr().out


def was_cut_off(connection: socket.socket) -> bool:
    """Whether it ends before the answer does."""
    taken = 0
    with suppress(ConnectionError, ssl.SSLEOFError):
        while piece := connection.recv(1_048_576):
            taken += len(piece)
    return taken < len(LARGE)


def test_from_memory_under_tls(tmp_path: Path) -> None:
    """The same answers, whole, in fragments, one behind the other, and around what the application answers."""
    app = Application()
    get, absent = (b"GET /memory/%b HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in (b"a", b"absent"))
    post = b"POST /memory HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\noctets"
    with served(app, FromMemoryProtocol, tmp_path, secured=True) as server, server.connect() as connection:
        assert asked(connection, get).startswith(b"GET /memory/a ")
        assert asked(connection, post).startswith(b"POST /memory ")
        assert (app.by_memory, app.by_app) == (2, 0)
        conversation = get + absent + post + get
        for fragments in ([conversation], [conversation[at : at + 1] for at in range(len(conversation))]):
            for fragment in fragments:
                connection.sendall(fragment)
            paths = [answer(connection).split()[1] for _ in range(4)]
            assert paths == [b"/memory/a", b"/memory/absent", b"/memory", b"/memory/a"]
        assert app.by_app >= 2
        assert app.by_memory + app.by_app == 10
        assert app.by_memory >= 4
        connection.sendall(b"GET /memory/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer(connection).startswith(b"GET /memory/a ")
        assert connection.recv(1) == b""
