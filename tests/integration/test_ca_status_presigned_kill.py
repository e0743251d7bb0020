"""A worker killed at every step of signing answers beforehand: what is answered afterwards is right, and it goes on."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus
from sqlalchemy import select

from ca_core.audit import AuditLog
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Database, Statement
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import OcspResponder, OcspSettings, Responders, StatusService, ocsp_store
from support.dying import killed_before
from support.fakes import FakeClock, SeededRng
from support.ocsp_requests import ocsp_request
from support.small_pki import RequestIssuer, SmallPki

ACTOR = "operator:7"
ANSWERS = Statement(
    select(
        ocsp_store.answers.c.certificate_id,
        ocsp_store.answers.c.serial,
        ocsp_store.answers.c.changed,
        ocsp_store.answers.c.der,
    )
)
GOOD, REVOKED = OCSPCertStatus.GOOD, OCSPCertStatus.REVOKED


class World:
    """Certificates of g3, and processes that answer about them."""

    def __init__(self, database: Database, url: str, clock: FakeClock, rng: SeededRng) -> None:
        self.database, self.url, self.clock, self.pki = database, url, clock, SmallPki()
        self.revocations = RevocationService(database, self.pki.certificates, AuditLog(clock, rng), clock)
        self.responders(database).ensure(RequestIssuer(self.pki, clock), rng)

    def responders(self, database: Database) -> Responders:
        return Responders(database, self.pki.authorities, self.pki.keys, StatusService(StatusLog()), self.clock)

    def node(self, database: Database | None = None) -> OcspResponder:
        """A process with nothing in its memory yet."""
        own, log = database or self.database, StatusLog()
        return OcspResponder(
            own,
            self.pki.authorities,
            self.pki.certificates,
            StatusService(log),
            log,
            self.responders(own),
            self.clock,
            OcspSettings(forget_after=timedelta(hours=1)),
        )

    def issue(self) -> IssuedCertificate:
        return self.pki.issue(self.pki.g3)

    def request(self, issued: IssuedCertificate) -> bytes:
        return ocsp_request(issued, self.pki.g3)

    def revoke(self, issued: IssuedCertificate) -> None:
        self.revocations.revoke(self.pki.g3.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)

    def status(self, node: OcspResponder, issued: IssuedCertificate) -> OCSPCertStatus:
        response = ocsp.load_der_ocsp_response(node.respond(self.request(issued)).der)
        response.certificates[0].verify_directly_issued_by(self.pki.g3.certificate)
        assert response.serial_number == issued.serial
        return response.certificate_status

    def verify_rows(self) -> int:
        """Each row is a whole answer about the certificate that it is filed under, and says what its change was."""
        with self.database.read() as tx:
            rows = tx.all(ANSWERS)
        for certificate_id, serial, changed, der in rows:
            response = ocsp.load_der_ocsp_response(bytes(der))
            key, algorithm = response.certificates[0].public_key(), response.signature_hash_algorithm
            assert isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
            kept = self.pki.certificates.kept[self.pki.g3.id, int(serial, 16)]
            assert (kept.certificate_id, response.serial_number) == (certificate_id, kept.serial)
            assert response.certificate_status is (REVOKED if changed else GOOD)
        return len(rows)


@pytest.fixture
def world(database: Database, database_url: str, clock: FakeClock, rng: SeededRng) -> World:
    return World(database, database_url, clock, rng)


def test_kill_9_before_every_step_of_a_turn(world: World) -> None:
    """In it one answer grows old, one is of a certificate revoked since, one was just given, one is forgotten."""
    count, died = 0, True
    while died:
        count += 1
        assert count < 200
        forgotten, old, revoked, new = (world.issue() for _ in range(4))
        stored = world.node()
        assert world.status(stored, forgotten) is GOOD
        stored.presigned.run_once()
        world.clock.advance(3_601)
        stored = world.node()
        for issued in (old, revoked):
            assert world.status(stored, issued) is GOOD
        stored.presigned._store_noted()
        world.clock.advance(15 * 60)  # the first half of an answer's life is over
        died = killed_before(count, partial(turn, world, revoked, new))
        for node in (world.node(), world.node()):
            assert [world.status(node, one) for one in (old, revoked, new, forgotten)] == [GOOD, REVOKED, GOOD, GOOD]
        world.verify_rows()
        world.clock.advance(61)  # what the dead one had claimed is anybody's
        worker = world.node()
        worker.presigned.run_once()
        assert worker.presigned.run_once() == 0
        assert world.verify_rows() >= 1
        world.clock.advance(1)
        assert [world.status(world.node(), one) for one in (old, revoked, new)] == [GOOD, REVOKED, GOOD]
    assert count > 12


def turn(world: World, revoked: IssuedCertificate, new: IssuedCertificate) -> Callable[[], object]:
    """In the child: a process that answered, and learns of a revocation, before its turn."""
    database = Database.open(world.url)
    node = world.node(database)
    node.presigned._hurry_changed()  # from here it follows the log
    assert world.status(node, new) is GOOD
    audit = AuditLog(world.clock, SeededRng(99))
    RevocationService(database, world.pki.certificates, audit, world.clock).revoke(
        world.pki.g3.id, revoked.serial, RevocationReason.KEY_COMPROMISE, ACTOR
    )
    return node.presigned.run_once


def test_where_the_database_refuses_the_answer_is_a_protocol_error(world: World) -> None:
    issued = world.issue()
    with world.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ocsp_answers RENAME TO ocsp_answers_away")
    try:
        answer = world.node().respond(world.request(issued))
    finally:
        with world.database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE ocsp_answers_away RENAME TO ocsp_answers")
    response = ocsp.load_der_ocsp_response(answer.der)
    assert response.response_status is ocsp.OCSPResponseStatus.INTERNAL_ERROR
    world.clock.advance(1)
    assert world.status(world.node(), issued) is GOOD
