"""OCSP on PostgreSQL while a server starts: whatever comes first, the client hears OCSP, over HTTP with status 200."""

import asyncio
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponse, OCSPResponseStatus
from sqlalchemy import event
from starlette.types import Message, Receive, Scope, Send

from ca_core.audit import AuditLog
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Database, Statement, Transaction
from ca_core.kernel.errors import Unavailable
from ca_core.kernel.web.hop import Hop
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.revocation import store as status_changes
from ca_core.status import OcspResponder, Responders, StatusService, ocsp_store
from ca_core.status.model import CertificateStatus
from ca_core.status.ocsp_memory import OcspMemory
from ca_core.status.ocsp_web import OcspEndpoint, OcspFirst
from support.fakes import FakeClock, SeededRng
from support.ocsp_requests import ocsp_request
from support.postgresql import PostgresqlServer
from support.small_pki import RequestIssuer, SmallPki

ACTOR = "operator:7"
AT_ONCE = 8
FEW: LiteralString = "SELECT 1 FROM pg_roles WHERE rolname = 'few'"
SUCCESSFUL, TRY_LATER, INTERNAL_ERROR = (
    OCSPResponseStatus.SUCCESSFUL,
    OCSPResponseStatus.TRY_LATER,
    OCSPResponseStatus.INTERNAL_ERROR,
)


class HookedStatus(StatusService):
    """Calls `before`, once, ahead of reading a status: what another process commits just then."""

    before: Callable[[], None] | None = None

    def status_and_change(self, tx: Transaction, certificate_id: int) -> tuple[CertificateStatus, int]:
        call, self.before = self.before, None
        if call is not None:
            call()
        return super().status_and_change(tx, certificate_id)


@dataclass(frozen=True)
class Node:
    """A process that has just started: nothing is connected, prepared, loaded or remembered."""

    database: Database
    responders: Responders
    status: HookedStatus
    ocsp: OcspResponder

    def http(self, octets: bytes, *, get: bool = False) -> OCSPResponse:
        """The answer as HTTP has it. Its status is 200 whatever is wrong."""
        sent: list[Message] = []

        async def behind(scope: Scope, receive: Receive, send: Send) -> None:
            raise AssertionError("not OCSP")

        async def receive() -> Message:
            return {"type": "http.request", "body": octets}

        async def send(message: Message) -> None:
            sent.append(message)

        hop = Hop(self.database)
        app = OcspFirst(behind, OcspEndpoint(self.ocsp, hop), OcspMemory(self.ocsp, hop))
        path = f"/pki/ocsp/{b64encode(octets).decode()}" if get else "/pki/ocsp"
        asyncio.run(
            app({"type": "http", "method": "GET" if get else "POST", "path": path, "headers": []}, receive, send)
        )
        headers = dict(sent[0]["headers"])
        assert (sent[0]["status"], headers[b"content-type"]) == (200, b"application/ocsp-response")
        said = ocsp.load_der_ocsp_response(sent[1]["body"])
        if said.response_status is not SUCCESSFUL:
            assert headers[b"cache-control"] == b"no-store"
        return said

    def said_of(self, octets: bytes) -> OCSPCertStatus | OCSPResponseStatus:
        said = ocsp.load_der_ocsp_response(self.ocsp.respond(octets).der)
        return said.certificate_status if said.response_status is SUCCESSFUL else said.response_status


@dataclass
class World:
    url: str
    clock: FakeClock
    rng: SeededRng
    pki: SmallPki
    opened: list[Database]

    def start(self, url: str | None = None) -> Node:
        database = Database.open(url or self.url, pool_size=16)
        self.opened.append(database)
        log = StatusLog()
        status = HookedStatus(log)
        responders = Responders(database, self.pki.authorities, self.pki.keys, status, self.clock)
        return Node(
            database,
            responders,
            status,
            OcspResponder(database, self.pki.authorities, self.pki.certificates, status, log, responders, self.clock),
        )

    def founded(self) -> Node:
        node = self.start()
        node.responders.ensure(RequestIssuer(self.pki, self.clock), self.rng)
        return node

    def request(self, issued: IssuedCertificate | None = None) -> bytes:
        return ocsp_request(issued or self.pki.issue(self.pki.g3), self.pki.g3)

    def revoke(self, issued: IssuedCertificate) -> None:
        audit = AuditLog(self.clock, self.rng)
        service = RevocationService(self.start().database, self.pki.certificates, audit, self.clock)
        service.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)


@pytest.fixture
def world(postgresql_database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[World]:
    made = World(postgresql_database_url, clock, rng, SmallPki(), [])
    yield made
    for database in made.opened:
        database.dispose()


def at_once(count: int, call: Callable[[int], object]) -> list[object]:
    """What each of so many threads' calls returned, or raised."""
    found: list[object] = [None] * count

    def run(place: int) -> None:
        try:
            found[place] = call(place)
        except Exception as error:  # noqa: BLE001  (shown by the assertion)
            found[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def reached(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def forget_compiled_statements() -> None:
    for module in (ocsp_store, status_changes):
        for statement in vars(module).values():
            if isinstance(statement, Statement):
                statement._prepared.clear()


def test_the_first_connections_statements_and_keys_all_at_once(world: World) -> None:
    """Every thread is in the middle of connecting before any of them is connected."""
    world.founded()
    issued = [world.pki.issue(world.pki.g3) for _ in range(AT_ONCE)]
    world.revoke(issued[0])
    requests = [world.request(one) for one in issued]
    node = world.start()
    forget_compiled_statements()
    meeting = threading.Barrier(AT_ONCE, timeout=20)

    def meet(*_: object) -> None:
        meeting.wait()

    event.listen(node.database.engine, "do_connect", meet)
    said = at_once(AT_ONCE, lambda place: node.said_of(requests[place]))
    assert said == [OCSPCertStatus.REVOKED, *[OCSPCertStatus.GOOD] * (AT_ONCE - 1)]
    assert len(node.database.connections._idle) == AT_ONCE


def test_before_and_while_the_first_responder_is_made(world: World) -> None:
    """Its key is there, its certificate is not, and then is not yet on record: tryLater until it is."""
    node, request = world.start(), world.request()
    heard: list[OCSPResponseStatus] = []

    class Asking(RequestIssuer):
        def issue(self, wanted: IssuanceRequest) -> IssuedCertificate:
            heard.append(node.http(request).response_status)
            issued = super().issue(wanted)
            heard.append(node.http(request, get=True).response_status)
            world.clock.advance(2)
            heard.append(node.http(request).response_status)
            return issued

    assert node.http(request).response_status is TRY_LATER
    node.responders.ensure(Asking(world.pki, world.clock), world.rng)
    assert heard and set(heard) == {TRY_LATER}
    assert node.http(request).certificate_status is OCSPCertStatus.GOOD


def test_a_revocation_between_the_stored_answer_and_the_status(world: World) -> None:
    """Two reads that see two moments: the later one counts, and nothing that is over is handed out or kept."""
    first, issued = world.founded(), world.pki.issue(world.pki.g3)
    request = world.request(issued)
    assert first.said_of(request) is OCSPCertStatus.GOOD
    first.ocsp.presigned.run_once()
    node = world.start()
    node.status.before = lambda: world.revoke(issued)
    assert node.said_of(request) is OCSPCertStatus.REVOKED
    assert node.status.before is None
    assert node.said_of(request) is OCSPCertStatus.REVOKED


def test_the_worker_refreshes_the_answer_and_renews_the_responder_meanwhile(world: World) -> None:
    first, issued = world.founded(), world.pki.issue(world.pki.g3)
    world.clock.advance(timedelta(days=16).total_seconds())
    request = world.request(issued)
    assert first.said_of(request) is OCSPCertStatus.GOOD
    first.ocsp.presigned.run_once()
    node = world.start()
    signed: list[int] = []

    def meanwhile() -> None:
        assert first.responders.ensure(RequestIssuer(world.pki, world.clock), world.rng)
        world.clock.advance(timedelta(minutes=13).total_seconds())
        signed.append(first.ocsp.presigned.run_once())

    node.status.before = meanwhile
    assert node.said_of(request) is OCSPCertStatus.GOOD
    assert signed == [1]
    assert node.said_of(request) is OCSPCertStatus.GOOD


def test_the_memory_half_loaded(world: World) -> None:
    """Threads that ask the log for the first time, overtaken by one another and by a revocation."""
    node, issued = world.founded(), world.pki.issue(world.pki.g3)
    request = world.request(issued)
    revoked = threading.Event()

    def call(place: int) -> object:
        if place == 0:
            world.revoke(issued)
            revoked.set()
            return None
        said = [node.said_of(request) for _ in range(20)]
        assert revoked.wait(20)
        return said

    for said in at_once(AT_ONCE, call)[1:]:
        assert isinstance(said, list)
        assert set(said) <= {OCSPCertStatus.GOOD, OCSPCertStatus.REVOKED}
        assert said == sorted(said, key=lambda one: one is OCSPCertStatus.REVOKED)
    world.clock.advance(0.25)
    assert node.said_of(request) is OCSPCertStatus.REVOKED


def test_prepared_statements_that_the_server_has_given_up(world: World, postgresql_server: PostgresqlServer) -> None:
    """A column's type changes under them, and a pooler forgets them: read anew, without a word to the client."""
    node, request = world.founded(), world.request()
    assert node.said_of(request) is OCSPCertStatus.GOOD
    with postgresql_server.connect("citizenid") as connection:
        for kind in ("text", "varchar(64)"):
            connection.execute(f"ALTER TABLE ocsp_responders ALTER COLUMN key_label TYPE {kind}".encode())
            world.clock.advance(2)
            assert node.said_of(world.request()) is OCSPCertStatus.GOOD
    for idle in node.database.connections._idle:
        idle.driver.execute("DEALLOCATE ALL")
    world.clock.advance(2)
    assert node.said_of(world.request()) is OCSPCertStatus.GOOD


def test_no_connection_is_left(world: World, postgresql_server: PostgresqlServer) -> None:
    """PostgreSQL's own limit: tryLater, and good as soon as there is one."""
    world.founded()
    with postgresql_server.connect("citizenid") as connection:
        connection.execute("DROP OWNED BY few" if _answered(connection, FEW) else "CREATE ROLE few LOGIN")
        connection.execute("ALTER ROLE few CONNECTION LIMIT 1")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO few")
    url = world.url.replace("postgres@", "few@")
    node, request = world.start(url), world.request()
    with psycopg.connect(host=str(postgresql_server.socket_folder), user="few", dbname="citizenid"):
        assert node.http(request).response_status is TRY_LATER
    with postgresql_server.connect("citizenid") as connection:
        assert reached(lambda: not _answered(connection, "SELECT 1 FROM pg_stat_activity WHERE usename = 'few'"))
    assert node.http(request).certificate_status is OCSPCertStatus.GOOD


def _answered(connection: psycopg.Connection[tuple[object, ...]], question: LiteralString) -> bool:
    return connection.execute(question).fetchone() is not None


def test_a_fault_of_ours_is_an_internal_error_and_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that is not there, a bug, no threads: never a bare 500."""
    node, request = world.founded(), world.request()
    with monkeypatch.context() as patch:
        patch.setattr(node.status, "status_of", lambda *_: 1 / 0)
        assert node.http(request).response_status is INTERNAL_ERROR
        assert node.http(request, get=True).response_status is INTERNAL_ERROR
    assert "ZeroDivisionError" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(node.ocsp, "_answer", lambda _: int("no number"))
        assert node.http(request).response_status is INTERNAL_ERROR
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refused)
        assert node.http(request).response_status is TRY_LATER
    assert node.http(request).certificate_status is OCSPCertStatus.GOOD


def _refused(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_hop_goes_on_with_the_threads_it_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hop = Hop(world.start().database)

    async def talk() -> list[int]:
        assert await hop(lambda: 1) == 1
        monkeypatch.setattr(threading.Thread, "start", _refused)
        return list(await asyncio.gather(*(hop(int, str(number)) for number in range(AT_ONCE))))

    assert asyncio.run(talk()) == list(range(AT_ONCE))
    with pytest.raises(Unavailable):
        asyncio.run(_first_call(Hop(world.start().database)))


async def _first_call(hop: Hop) -> int:
    return await hop(lambda: 1)
