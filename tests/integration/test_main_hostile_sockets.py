"""`citizenid serve` against raw octets: it answers 4xx or hangs up, goes on serving others, and does not grow."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from ca_core.kernel.database import sqlite_url
from ca_core.kernel.web.protocol import MAX_HEAD_BYTES, MAX_PIPELINED
from idp.bench.model import Plan
from idp.demo.bench_country import found_country
from support.processes import free_port, start, stop_group, wait_until

CITIZENID = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "citizenid"
MAX_GROWTH_KB = 32_768
PATIENCE_S = 10
HOST = b"Host: localhost\r\n"


@dataclass(frozen=True)
class Served:
    port: int
    pid: int
    log: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def say(self, octets: bytes) -> bytes:
        """Everything that the server answered until it hung up, or had nothing to say to the end of our half."""
        with self.connect() as connection:
            with suppress(ConnectionError):
                connection.sendall(octets)
            return read_to_the_end(connection)

    def is_serving(self) -> bool:
        return httpx2.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False, timeout=PATIENCE_S).text == "ok\n"

    def resident_kb(self) -> int:
        """Resident memory, its high-water mark."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        raise AssertionError("no VmHWM")


def read_to_the_end(connection: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            answer += piece
    return answer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    url, port, log = sqlite_url(folder / "citizenid.db"), free_port(), folder / "serve.log"
    found_country(Plan(folder=folder, database_url=url, port=port, citizens=1, workers=1))
    process = start([CITIZENID, "serve", "--config", folder / "citizenid.toml"], log=log)
    found = Served(port, process.pid, log)

    def answers() -> bool:
        with suppress(httpx2.HTTPError):
            return found.is_serving()
        return False

    try:
        wait_until(answers, what="citizenid serve", process=process, log=log)
        yield found
    finally:
        stop_group(process)


@pytest.fixture(autouse=True)
def unharmed(served: Served) -> Iterator[None]:
    """After each test: others are served, nothing unexpected is in the log, the process has not grown."""
    before = served.resident_kb()
    yield
    assert served.is_serving()
    assert "Traceback" not in served.log.read_text(errors="replace")
    assert served.resident_kb() - before < MAX_GROWTH_KB


GARBAGE = {
    "nothing-known": b"\x00\x01\x02\x03\r\n\r\n",
    "tls": bytes.fromhex("16030100f1010000ed0303") + bytes(220),
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no-target": b"GET\r\n\r\n",
    "method": b"B" * 5_000 + b" / HTTP/1.1\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "nul-in-target": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "path-not-ascii": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "query-not-ascii": b"GET /logout?\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "space-in-target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "nul-in-header": b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    "space-before-colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "negative-length": b"POST /token HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "endless-length": b"POST /token HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "two-lengths": b"POST /token HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length-and-chunks": b"POST /token HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown-coding": b"POST /token HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\nabc",
    "chunk-size": b"POST /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "chunk-overflow": b"POST /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
    "chunk-end": b"POST /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcdef\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(served: Served, name: str) -> None:
    """Refused, and the connection is over: nothing that follows can be taken for another request."""
    answer = served.say(GARBAGE[name] + b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert b"200 OK" not in answer


ENDLESS = {
    "value": (b"GET /healthz HTTP/1.1\r\nX: ", b"v" * 16_384),
    "name": (b"GET /healthz HTTP/1.1\r\n", b"n" * 16_384),
    "fields": (b"GET /healthz HTTP/1.1\r\n", b"X: v\r\n" * 2_730),
    "target": (b"GET /", b"a" * 16_384),
    "query": (b"GET /healthz?", b"a" * 16_384),
    "trailers": (b"POST /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: v\r\n" * 2_730),
    "chunk-extension": (b"POST /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 16_384),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_head_without_an_end(served: Served, name: str) -> None:
    """The server hangs up long before 64 MB: what it had taken in is bounded by its head's limit and the sockets'."""
    begin, more = ENDLESS[name]
    sent = 0
    with served.connect() as connection, pytest.raises(ConnectionError):
        connection.sendall(begin)
        while sent < 64 * 1_048_576:
            connection.sendall(more)
            sent += len(more)
    assert sent < 64 * 1_048_576


def test_a_head_that_is_too_large_is_told_so(served: Served) -> None:
    answer = served.say(b"GET /healthz HTTP/1.1\r\nX: " + b"v" * (MAX_HEAD_BYTES + 4_096))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_below_the_limit_is_read(served: Served) -> None:
    padding = b"X: " + b"v" * (MAX_HEAD_BYTES - 8_192)
    answer = served.say(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + HOST + padding + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_many_unfinished_heads(served: Served) -> None:
    """Three hundred clients that never finish hold neither the others up nor much memory."""
    head = b"GET /healthz HTTP/1.1\r\nX: " + b"v" * 20_000
    connections = [served.connect() for _ in range(300)]
    try:
        for connection in connections:
            connection.sendall(head)
        assert served.is_serving()
        for connection in connections:
            connection.sendall(b"\r\nConnection: close\r\n\r\n")
        for connection in connections:
            assert read_to_the_end(connection).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in connections:
            connection.close()


def test_a_request_octet_by_octet(served: Served) -> None:
    with served.connect() as connection:
        for octet in b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n":
            connection.sendall(bytes((octet,)))
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_never_comes_holds_nobody_up(served: Served) -> None:
    connections = [served.connect() for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(b"POST /pki/ocsp HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
        assert served.is_serving()
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "path", [b"/token", b"/pki/ocsp", b"/pki/tsa", b"/pki/log/cosignatures", b"/authorize", b"/healthz"]
)
def test_a_chunked_body_without_an_end(served: Served, path: bytes) -> None:
    """Answered before its end, with as little of it kept as its endpoint takes."""
    head = b"POST " + path + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n" + HOST + b"\r\n"
    with served.connect() as connection:
        connection.sendall(head)
        for _ in range(1_000):
            connection.sendall(b"4000\r\n" + b"A" * 16_384 + b"\r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 4"), answer[:200]


def test_a_declared_length_over_the_limit_is_refused_at_once(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST /logout HTTP/1.1\r\nContent-Length: 99999999\r\n" + HOST + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_longer_than_its_length(served: Served) -> None:
    """What is too much is the next request, and a bad one."""
    answer = served.say(b"POST /pki/ocsp HTTP/1.1\r\nContent-Length: 2\r\n" + HOST + b"\r\n0\x00surplus\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert b"surplus" not in answer


def test_http_1_0_is_answered_and_closed(served: Served) -> None:
    answer = served.say(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ok\n")


def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    asked = b"GET /healthz HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n" * 4
    answer = served.say(asked + b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    statuses = re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
    assert statuses == [b"200", b"404"] * 4 + [b"200"]


def test_more_requests_than_may_wait(served: Served) -> None:
    """A client that sends without reading is hung up on: a few are answered, the rest is dropped."""
    count = 20_000
    answer = served.say(b"GET /healthz HTTP/1.1\r\n\r\n" * count)
    assert answer.count(b"HTTP/1.1 200 ") < count
    assert answer.count(b"HTTP/1.1 200 ") <= count // MAX_PIPELINED


def test_a_host_of_somebody_elses(served: Served) -> None:
    """Neither a redirect nor a page takes the Host header's word."""
    for path in (b"/nothing/", b"/logout/", b"//evil.example/%2e%2e", b"/healthz/"):
        answer = served.say(b"GET " + path + b" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
        assert b"evil.example" not in answer
