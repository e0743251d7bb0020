"""Answers signed beforehand: refreshed, shared between nodes, and never older than the log."""

import threading
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponse
from sqlalchemy import func, select

from ca_core.audit import AuditLog
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Database, Statement
from ca_core.keys.errors import KeyNotFound
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import OcspResponder, OcspSettings, Responders, StatusService, ocsp_store
from support.fakes import FakeClock, SeededRng
from support.ocsp_requests import ocsp_request
from support.small_pki import MemoryKeys, RequestIssuer, SmallPki

ACTOR = "operator:7"
COUNT = Statement(select(func.count()).select_from(ocsp_store.answers))
ORDERS = Statement(select(func.count()).select_from(ocsp_store.orders))


class World:
    def __init__(self, database: Database, clock: FakeClock, rng: SeededRng) -> None:
        self.database, self.clock, self.rng, self.pki = database, clock, rng, SmallPki()
        self.revocations = RevocationService(database, self.pki.certificates, AuditLog(clock, rng), clock)
        self.node().responders.ensure(RequestIssuer(self.pki, clock), rng)

    def node(self, **settings: object) -> "Node":
        return Node(self, OcspSettings(**settings))  # type: ignore[arg-type]  # passed through

    def rows(self) -> int:
        with self.database.read() as tx:
            row = tx.one_or_none(COUNT)
        assert row is not None
        return int(row[0])


class Node:
    """A process with nothing in its memory yet."""

    def __init__(self, world: World, settings: OcspSettings) -> None:
        pki, log = world.pki, StatusLog()
        status = StatusService(log)
        self.responders = Responders(world.database, pki.authorities, pki.keys, status, world.clock)
        self.ocsp = OcspResponder(
            world.database,
            pki.authorities,
            pki.certificates,
            status,
            log,
            self.responders,
            world.clock,
            settings,
        )

    def ask(self, octets: bytes) -> OCSPResponse:
        return ocsp.load_der_ocsp_response(self.ocsp.respond(octets).der)

    def work(self) -> int:
        return self.ocsp.presigned.run_once()


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return World(database, clock, rng)


def test_what_was_asked_is_stored_and_serves_every_node(world: World) -> None:
    octets = ocsp_request(world.pki.issue(world.pki.g3), world.pki.g3)
    first, second = world.node(), world.node()
    answer = first.ocsp.respond(octets)
    assert world.rows() == 0
    assert first.work() == 0
    assert world.rows() == 1
    world.clock.advance(30)
    assert second.ocsp.respond(octets).der == answer.der


def test_a_stored_good_ends_with_the_commit_of_the_revocation(world: World) -> None:
    g3 = world.pki.g3
    issued = world.pki.issue(g3)
    octets = ocsp_request(issued, g3)
    asked = world.node()
    asked.ask(octets)
    asked.work()
    world.revocations.revoke(g3.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert world.node().ask(octets).certificate_status is OCSPCertStatus.REVOKED  # not a moment later
    world.clock.advance(0.999)
    assert asked.ask(octets).certificate_status is OCSPCertStatus.REVOKED
    assert asked.work() <= 1
    response = world.node().ask(octets)
    assert response.certificate_status is OCSPCertStatus.REVOKED


def test_an_answer_stored_late_by_another_node_is_not_believed(world: World) -> None:
    g3 = world.pki.g3
    issued = world.pki.issue(g3)
    octets = ocsp_request(issued, g3)
    slow = world.node()
    slow.ask(octets)  # "good", and noted
    world.revocations.suspend(g3.id, issued.serial, ACTOR)
    slow.ocsp.presigned._store_noted()
    assert world.rows() == 1
    assert world.node().ask(octets).certificate_status is OCSPCertStatus.REVOKED
    world.revocations.resume(g3.id, issued.serial, ACTOR)
    assert world.node().ask(octets).certificate_status is OCSPCertStatus.GOOD


def test_changed_ones_are_signed_anew_at_once_and_old_ones_before_half_their_life(world: World) -> None:
    g3 = world.pki.g3
    changed, quiet = world.pki.issue(g3), world.pki.issue(g3)
    node = world.node()
    asked = [ocsp_request(issued, g3) for issued in (changed, quiet)]
    for octets in asked:
        node.ask(octets)
    assert node.work() == 0
    world.clock.advance(2)
    world.revocations.revoke(g3.id, changed.serial, RevocationReason.SUPERSEDED, ACTOR)
    world.clock.advance(1)
    assert node.work() == 1
    fresh = world.node()
    assert fresh.ocsp.respond(asked[0]).this_update == world.clock.now.replace(microsecond=0)
    for _ in range(120):
        world.clock.advance(30)
        node.work()
        answer = fresh.ocsp.respond(asked[1])
        assert answer.next_update is not None
        assert answer.next_update - world.clock.now >= timedelta(minutes=15)
        assert fresh.ask(asked[0]).certificate_status is OCSPCertStatus.REVOKED


def test_two_workers_share_the_work(world: World) -> None:
    g3 = world.pki.g3
    node, other = world.node(), world.node()
    for _ in range(24):
        node.ask(ocsp_request(world.pki.issue(g3), g3))
    node.work()
    world.clock.advance(900)
    barrier, done = threading.Barrier(2), []

    def work(who: Node) -> None:
        barrier.wait()
        done.append(who.work())

    threads = [threading.Thread(target=work, args=(who,)) for who in (node, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 24


def test_what_nobody_asks_for_is_forgotten(world: World) -> None:
    octets = ocsp_request(world.pki.issue(world.pki.g3), world.pki.g3)
    node = world.node()
    node.ask(octets)
    node.work()
    for _ in range(6):
        world.clock.advance(86_400)
        assert node.work() == 1
    world.clock.advance(2 * 86_400)
    assert node.work() == 0
    assert world.rows() == 0


def test_asking_again_keeps_it(world: World) -> None:
    octets = ocsp_request(world.pki.issue(world.pki.g3), world.pki.g3)
    node = world.node()
    node.ask(octets)
    for _ in range(10):
        node.work()
        world.node().ask(octets)
        node.ask(octets)
        world.clock.advance(2 * 86_400)
    assert world.rows() == 1


def test_a_nonce_or_an_unknown_serial_or_several_certificates_leave_no_row(world: World) -> None:
    g3 = world.pki.g3
    node = world.node()
    node.ask(ocsp_request(world.pki.issue(g3), g3, nonce=b"n" * 32))
    node.ask(ocsp_request(world.pki.issue(g3, record=False), g3))
    node.work()
    assert world.rows() == 0


def test_a_revoked_responder_ends_all_that_it_signed(world: World) -> None:
    g3 = world.pki.g3
    octets = ocsp_request(world.pki.issue(g3), g3)
    node = world.node()
    before = node.ocsp.respond(octets)
    node.work()
    responder = node.responders.current(g3.id)
    serial = ocsp.load_der_ocsp_response(before.der).certificates[0].serial_number
    world.revocations.revoke(g3.id, serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    world.clock.advance(0.999)
    late = world.node()
    late.responders.ensure(RequestIssuer(world.pki, world.clock), world.rng)
    world.clock.advance(1)
    for asked in (late, node):
        (delegate,) = asked.ask(octets).certificates
        assert delegate.public_bytes(Encoding.DER) != responder.certificate_der


def test_without_it_nothing_is_kept(world: World) -> None:
    g3 = world.pki.g3
    silent = world.node(presign=False)
    octets = ocsp_request(world.pki.issue(g3), g3)
    assert silent.ask(octets).certificate_status is OCSPCertStatus.GOOD
    assert (silent.work(), world.rows()) == (0, 0)
    asked = world.node()
    asked.ask(octets)
    asked.work()
    world.clock.advance(5)
    answer = world.node(presign=False).ocsp.respond(octets)  # not the stored one
    assert answer.this_update == world.clock.now.replace(microsecond=0)


def test_an_offline_authority_leaves_one_key_and_one_request_and_keeps_nobody_from_theirs(
    database: Database, clock: FakeClock, rng: SeededRng
) -> None:
    pki, keys = SmallPki(), MemoryKeys()
    responders = Responders(database, pki.authorities, keys, StatusService(StatusLog()), clock)
    issuer = HalfOfflineIssuer(pki, keys, clock)
    assert responders.ensure(issuer, rng, is_online=lambda authority: authority.slug != "root-g1") == [
        "citizen-g2",
        "citizen-g3",
    ]
    assert len(keys.kept) == 2
    for _ in range(3):
        assert responders.ensure(issuer, rng) == []
        clock.advance(3600)
    assert len(keys.kept) == 3
    assert len(set(issuer.asked)) == 3
    issuer.offline.clear()
    assert responders.ensure(issuer, rng) == ["root-g1"]
    assert len(keys.kept) == 3
    with database.read() as tx:
        assert tx.one_or_none(ORDERS) == (0,)


class HalfOfflineIssuer:
    """An issuance whose root's key lies in a safe."""

    def __init__(self, pki: SmallPki, keys: MemoryKeys, clock: FakeClock) -> None:
        self.offline = {"root-g1"}
        self.asked: list[str] = []
        self._pki, self._keys, self._clock = pki, keys, clock

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        self.asked.append(request.request_id)
        if request.authority in self.offline:
            raise KeyNotFound(request.authority)
        now = self._clock()
        return self._pki.issue(
            self._pki.authorities.by_slug(request.authority),
            request.profile,
            key=self._keys.private_key(request.request_id),
            not_before=now,
            not_after=now + timedelta(days=30),
        )
