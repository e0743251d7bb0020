"""OCSP over real sockets from a real server, on both databases: from memory, around it, and after a revocation."""

import socket
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus
from starlette.types import Receive, Scope, Send

from ca_core.audit import AuditLog
from ca_core.kernel.database import Database
from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.hop import Hop
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import OcspAnswer, OcspResponder, OcspSettings, Responders, StatusService
from ca_core.status.ocsp_memory import OcspMemory
from ca_core.status.ocsp_web import OcspEndpoint, OcspFirst
from support.fakes import FakeClock, SeededRng
from support.http_wire import without_access_log
from support.ocsp_requests import ocsp_request
from support.processes import free_port
from support.served import served_by
from support.small_pki import RequestIssuer, SmallPki

ACTOR = "operator:7"


class CountingResponder(OcspResponder):
    """Counts what did not come from memory."""

    responded = 0

    def respond(self, request_der: bytes) -> OcspAnswer:
        self.responded += 1
        return super().respond(request_der)


@dataclass(kw_only=True)
class Served:
    pki: SmallPki
    clock: FakeClock
    ocsp: CountingResponder
    revocations: RevocationService
    port: int = field(default_factory=free_port)
    clients: "list[Client]" = field(default_factory=list)

    def connect(self) -> "Client":
        without_access_log()
        client = Client(socket.create_connection(("127.0.0.1", self.port), 10))
        self.clients.append(client)
        return client


class Client:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = connection.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._connection.sendall(part)

    def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.decode("ascii").partition(":")
            headers[name] = value.strip()
        return status, headers, self._file.read(int(headers["content-length"])) if has_body else b""

    def status_of(self) -> OCSPCertStatus:
        status, headers, body = self.answer()
        assert (status, headers["content-type"]) == (200, "application/ocsp-response")
        return ocsp.load_der_ocsp_response(body).certificate_status

    def has_ended(self) -> bool:
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._connection.close()


@pytest.fixture
def served(database: Database, clock: FakeClock, rng: SeededRng) -> Iterator[Served]:
    pki, log = SmallPki(), StatusLog()
    status = StatusService(log)
    responders = Responders(database, pki.authorities, pki.keys, status, clock)
    responders.ensure(RequestIssuer(pki, clock), rng)
    responder = CountingResponder(
        database, pki.authorities, pki.certificates, status, log, responders, clock, OcspSettings()
    )
    revocations = RevocationService(database, pki.certificates, AuditLog(clock, rng), clock)
    world = Served(pki=pki, clock=clock, ocsp=responder, revocations=revocations)

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    hop = Hop(database)
    app = OcspFirst(behind, OcspEndpoint(responder, hop), OcspMemory(responder, hop))
    with served_by(DirectProtocol, app, world.port):
        yield world
        for client in world.clients:
            client.close()


def post(octets: bytes) -> bytes:
    return b"POST /pki/ocsp HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(octets), octets)


def get(octets: bytes, *, method: bytes = b"GET", headers: bytes = b"") -> bytes:
    return b"%b /pki/ocsp/%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (
        method,
        quote(b64encode(octets).decode(), safe="").encode(),
        headers,
    )


def test_a_conversation(served: Served) -> None:
    asked = ocsp_request(served.pki.issue(served.pki.g3), served.pki.g3)
    client = served.connect()
    client.send(post(asked))
    status, headers, first = client.answer()
    assert (status, served.ocsp.responded) == (200, 1)
    again = get(asked) + post(asked) + b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n" + get(asked)
    client.send(again)
    replies = [client.answer() for _ in range(4)]
    assert [status for status, _, _ in replies] == [200, 200, 404, 200]
    assert {body for status, _, body in replies if status == 200} == {first}
    assert all({**reply, "date": ""} == {**headers, "date": ""} for status, reply, _ in replies if status == 200)
    client.send(*(again[place : place + 1] for place in range(len(again))))
    assert [client.answer()[0] for _ in range(4)] == [200, 200, 404, 200]
    assert served.ocsp.responded == 1
    chunks = b"".join(b"1\r\n%c\r\n" % octet for octet in asked)
    client.send(b"POST /pki/ocsp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n")
    assert client.answer()[2] == first
    client.send(get(asked, headers=b"If-None-Match: %b\r\n" % headers["etag"].encode()))
    assert client.answer(has_body=False)[0] == 304
    client.send(get(asked, method=b"HEAD"))
    assert client.answer()[0] == 404
    client.send(b"POST /pki/ocsp HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n", bytes(20_000))
    assert client.answer()[0] == 413
    client.send(get(asked) + get(asked, headers=b"Connection: close\r\n") + get(asked))
    assert client.answer()[2] == first
    assert client.answer()[1]["connection"] == "close"
    assert client.has_ended()


def test_an_acknowledged_revocation_ends_what_lies_in_memory(served: Served) -> None:
    issued = served.pki.issue(served.pki.g3)
    asked = ocsp_request(issued, served.pki.g3)
    client = served.connect()
    for request in (post(asked), get(asked), get(asked)):
        client.send(request)
        assert client.status_of() is OCSPCertStatus.GOOD
    assert served.ocsp.responded == 1
    served.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    served.clock.advance(0.25)
    for request in (get(asked), post(asked), get(asked)):
        client.send(request)
        assert client.status_of() is OCSPCertStatus.REVOKED
    assert served.ocsp.responded == 2


def test_an_answer_leaves_memory_half_way_to_next_update(served: Served) -> None:
    asked = ocsp_request(served.pki.issue(served.pki.g3), served.pki.g3)
    client, ends = served.connect(), []
    for seconds in (0, 0.1, 899.8, 0.2, 900.1):
        served.clock.advance(seconds)
        for request in (get(asked), post(asked)):
            client.send(request)
            _, headers, body = client.answer()
            answer = ocsp.load_der_ocsp_response(body)
            assert answer.next_update_utc is not None
            left_s = (answer.next_update_utc - served.clock()).total_seconds()
            assert left_s > 895
            assert int(headers["cache-control"].split("max-age=")[1].split(",")[0]) <= left_s
            ends.append(answer.next_update_utc)
    assert len(set(ends)) == 3


def test_many_connections_hear_their_own_answers(served: Served) -> None:
    asked = [ocsp_request(served.pki.issue(served.pki.g3), served.pki.g3) for _ in range(12)]
    clients = [served.connect() for _ in asked]
    for _ in range(3):
        for client, octets in zip(clients, asked, strict=True):
            client.send((post(octets) + get(octets))[:-1])
        for client in clients:
            client.send(b"\n")
        for client, octets in zip(clients, asked, strict=True):
            serial = ocsp.load_der_ocsp_request(octets).serial_number
            for _ in range(2):
                assert ocsp.load_der_ocsp_response(client.answer()[2]).serial_number == serial
