"""OCSP answers in memory as whole HTTP answers: what is taken, what is not, and what is kept of it."""

import asyncio
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.hop import Hop
from ca_core.status import OcspAnswer, OcspResponder, ocsp_memory
from ca_core.status.ocsp_answers import SignedAnswer
from ca_core.status.ocsp_memory import OcspMemory
from ca_core.status.ocsp_web import OcspEndpoint, OcspFirst
from support.direct_wire import GatedHop
from support.fakes import FakeClock
from support.http_wire import Peer, without_access_log

KNOWN = bytes(range(240, 256)) * 3  # its base64 has +, / and no padding
ODD = KNOWN + b"\xfe"  # likewise, padded


class Responder:
    """Remembers the answers it was given; counts what it was asked beyond them."""

    max_request_bytes = 64

    def __init__(self, clock: FakeClock) -> None:
        now = clock()
        self.answers: dict[bytes, OcspAnswer] = {
            request: SignedAnswer(
                der=b"answer to " + request,
                cache_seconds=60,
                this_update=now,
                next_update=now + timedelta(minutes=30),
                certificate_ids=frozenset((1,)),
            )
            for request in (KNOWN, ODD)
        }
        self.asked = 0

    def remembered(self, request_der: bytes) -> OcspAnswer | None:
        return self.answers.get(request_der)

    def respond(self, request_der: bytes) -> OcspAnswer:
        self.asked += 1
        return self.answers.get(request_der) or OcspAnswer(der=b"live")

    def malformed(self) -> OcspAnswer:
        return OcspAnswer(der=b"malformed")


@pytest.fixture
def responder(clock: FakeClock) -> Responder:
    return Responder(clock)


def memory_of(responder: Responder, hop: Hop | None = None) -> OcspMemory:
    return OcspMemory(cast(OcspResponder, responder), hop or GatedHop())


def get(request: bytes, *, safe: str = "") -> bytes:
    return b"/pki/ocsp/" + quote(b64encode(request).decode(), safe=safe).encode()


def exchange(folder: Path, responder: Responder, protocol: type[HttpToolsProtocol], octets: bytes) -> bytes:
    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    without_access_log()

    async def run() -> bytes:
        endpoint: Any = OcspEndpoint
        hop = Hop(Database.open(sqlite_url(folder / "unused.db")))
        peer = Peer(protocol, OcspFirst(behind, endpoint(responder, hop), memory_of(responder, hop)))
        await peer.send(octets)
        peer.end()
        return peer.octets

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", b"/pki/ocsp", KNOWN),
        ("GET", get(KNOWN), b""),
        ("GET", get(KNOWN, safe="/+"), b""),
        ("GET", get(ODD), b""),
        ("GET", get(ODD).removesuffix(b"%3D"), b""),
    ],
)
def test_an_answer_in_memory_is_the_endpoints_own(
    tmp_path: Path, responder: Responder, method: str, target: bytes, body: bytes
) -> None:
    assert memory_of(responder).takes(method.encode(), target)
    asked = b"%b %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (method.encode(), target, len(body), body)
    ours = exchange(tmp_path, responder, DirectProtocol, asked * 2)
    assert ours == exchange(tmp_path, responder, HttpToolsProtocol, asked * 2)
    assert ours.count(b"cache-control: public, max-age=60, no-transform, must-revalidate\r\n") == 2
    assert ours.count(b"etag: ") == ours.count(b"expires: ") == ours.count(b"last-modified: ") == 2
    assert ours.endswith(responder.answers[KNOWN if KNOWN in (body, ours[-len(KNOWN) :]) else ODD].der)
    assert responder.asked == 0


@pytest.mark.parametrize(("method", "target", "body"), [("POST", b"/pki/ocsp", b"new"), ("GET", get(b"new"), b"")])
def test_an_answer_that_is_not_in_memory_is_the_endpoints_own(
    tmp_path: Path, responder: Responder, monkeypatch: pytest.MonkeyPatch, method: str, target: bytes, body: bytes
) -> None:
    asked = b"%b %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (method.encode(), target, len(body), body)
    theirs = exchange(tmp_path, responder, HttpToolsProtocol, asked)
    monkeypatch.delattr(OcspEndpoint, "__call__")
    ours = exchange(tmp_path, responder, DirectProtocol, asked)
    assert responder.asked == 2
    assert ours == theirs
    assert ours.endswith(b"\r\ncache-control: no-store\r\n\r\nlive")


@pytest.mark.parametrize(
    "asked",
    [
        b"GET /pki/ocsp HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % get(KNOWN),
        b"GET %b?x HTTP/1.1\r\nHost: a\r\n\r\n" % get(KNOWN),
        b"GET %b HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n" % get(KNOWN),
        b"GET /pki/ocsp/%25%25 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /pki/ocsp/%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /pki/ocsp/../crl/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /pki/ocsp/%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"A" * 5_000),
        b"POST /pki/ocsp/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /pki/ocsp HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n" + bytes(65),
        b"POST /pki/ocsp HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nnew",
    ],
)
def test_everything_else_is_answered_as_before(tmp_path: Path, responder: Responder, asked: bytes) -> None:
    ours = exchange(tmp_path, responder, DirectProtocol, asked)
    assert ours == exchange(tmp_path, responder, HttpToolsProtocol, asked)
    assert ours.startswith(b"HTTP/1.1 ")


def test_what_is_no_longer_remembered_is_not_answered(responder: Responder) -> None:
    memory = memory_of(responder)
    for method, target, body in ((b"POST", b"/pki/ocsp", KNOWN), (b"GET", get(KNOWN), b"")):
        assert memory.find(method, target, body) is not None
    responder.answers.clear()
    for method, target, body in ((b"POST", b"/pki/ocsp", KNOWN), (b"GET", get(KNOWN), b"")):
        assert memory.find(method, target, body) is None


def test_targets_are_kept_in_bounded_number_and_only_with_an_answer(
    responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocsp_memory, "_TARGETS", 3)
    memory = memory_of(responder)
    for number in range(20):
        assert memory.find(b"GET", get(b"new %d" % number), b"") is None
    assert not memory._requests
    plain = b64encode(KNOWN)
    for place in range(8):
        spelt = b"/pki/ocsp/%b%%%02X%b" % (plain[:place], plain[place], plain[place + 1 :])
        answer = memory.find(b"GET", spelt, b"")
        assert answer is not None
        assert answer.endswith(b"\r\n\r\nanswer to " + KNOWN)
        assert len(memory._requests) <= 3
