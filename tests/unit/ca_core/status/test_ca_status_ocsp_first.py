"""OCSP in front of the application: what it takes, what it leaves, and clients that misbehave."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.hop import Hop
from ca_core.status import OcspAnswer
from ca_core.status.ocsp_web import OcspEndpoint, OcspFirst


class Responder:
    """Answers with what it was asked; remembers one request."""

    max_request_bytes = 64

    def remembered(self, request_der: bytes) -> OcspAnswer | None:
        return OcspAnswer(der=b"remembered") if request_der == b"known" else None

    def respond(self, request_der: bytes) -> OcspAnswer:
        return OcspAnswer(der=b"asked:" + request_der)

    def malformed(self) -> OcspAnswer:
        return OcspAnswer(der=b"malformed")


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"behind"})


def ask(folder: Path, method: str, path: str, *messages: Message) -> tuple[int, bytes]:
    endpoint: Any = OcspEndpoint
    app = OcspFirst(behind, endpoint(Responder(), Hop(Database.open(sqlite_url(folder / "unused.db")))))
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path, "headers": []}, receive, send))
    assert not waiting or sent[0]["status"] == 413
    return sent[0]["status"], sent[1]["body"]


def body(octets: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": octets, "more_body": more}


def test_what_it_takes(tmp_path: Path) -> None:
    assert ask(tmp_path, "POST", "/pki/ocsp", body(b"known")) == (200, b"remembered")
    assert ask(tmp_path, "POST", "/pki/ocsp", body(b"in ", more=True), body(b"parts")) == (200, b"asked:in parts")
    assert ask(tmp_path, "GET", "/pki/ocsp/a25vd24=") == (200, b"remembered")
    assert ask(tmp_path, "GET", "/pki/ocsp/") == (200, b"asked:")
    for hostile in ("é", "%%%", "A" * 100_000, "../../etc/passwd"):
        assert ask(tmp_path, "GET", f"/pki/ocsp/{hostile}") == (200, b"malformed")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/pki/ocsp"), ("PUT", "/pki/ocsp"), ("POST", "/pki/ocsp/"), ("POST", "/pki/ocspx"), ("GET", "/")],
)
def test_what_it_leaves(tmp_path: Path, method: str, path: str) -> None:
    assert ask(tmp_path, method, path) == (404, b"behind")


def test_a_body_without_end_is_cut_at_the_bound(tmp_path: Path) -> None:
    assert ask(tmp_path, "POST", "/pki/ocsp", *[body(b"x" * 10, more=True)] * 100) == (413, b"malformed")


def test_a_client_that_goes_away(tmp_path: Path) -> None:
    gone: Message = {"type": "http.disconnect"}
    assert ask(tmp_path, "POST", "/pki/ocsp", body(b"x", more=True), gone) == (413, b"malformed")
