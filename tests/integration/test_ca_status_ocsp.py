"""The OCSP responder on both databases, judged by openssl, pkilint and cryptography."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponse, OCSPResponseStatus

from ca_core.audit import AuditLog
from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import OcspAnswer, OcspResponder, Responders, StatusService
from support.fakes import START, FakeClock, SeededRng
from support.processes import required_program, run
from support.small_pki import CITIZEN_CA_NAME, RequestIssuer, SmallPki

VENV = Path(sys.executable).parent
ACTOR = "operator:7"
TRY_LATER = OCSPResponseStatus.TRY_LATER
SHA1, SHA256 = hashes.SHA1(), hashes.SHA256()  # noqa: S303 - what clients name issuers by


@dataclass
class World:
    database: Database
    clock: FakeClock
    rng: SeededRng
    pki: SmallPki
    revocations: RevocationService
    responders: Responders
    ocsp: OcspResponder

    def another_node(self) -> OcspResponder:
        """A responder that shares nothing with the first but the database and the keys."""
        status, log = StatusService(StatusLog()), StatusLog()
        responders = Responders(self.database, self.pki.authorities, self.pki.keys, status, self.clock)
        return OcspResponder(
            self.database, self.pki.authorities, self.pki.certificates, status, log, responders, self.clock
        )

    def ask(
        self,
        issued: IssuedCertificate,
        issuer: Authority,
        *,
        nonce: bytes | None = None,
        by: hashes.HashAlgorithm = SHA1,
    ) -> OCSPResponse:
        return ocsp.load_der_ocsp_response(self.ocsp.respond(request(issued, issuer, nonce=nonce, by=by)).der)


def request(
    issued: IssuedCertificate, issuer: Authority, *, nonce: bytes | None = None, by: hashes.HashAlgorithm = SHA1
) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issuer.certificate, by)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.build().public_bytes(Encoding.DER)


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    pki = SmallPki()
    status = StatusService(StatusLog())
    responders = Responders(database, pki.authorities, pki.keys, status, clock)
    responders.ensure(RequestIssuer(pki, clock), rng)
    return World(
        database=database,
        clock=clock,
        rng=rng,
        pki=pki,
        revocations=RevocationService(database, pki.certificates, AuditLog(clock, rng), clock),
        responders=responders,
        ocsp=OcspResponder(database, pki.authorities, pki.certificates, status, StatusLog(), responders, clock),
    )


def verify(response: OCSPResponse, issuer: Authority) -> None:
    """Signed by a delegate of that very issuer."""
    (delegate,) = response.certificates
    delegate.verify_directly_issued_by(issuer.certificate)
    assert delegate.extensions.get_extension_for_class(x509.OCSPNoCheck)
    key = delegate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    assert response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(key).digest


@pytest.mark.parametrize("by", [SHA1, SHA256], ids=["sha1", "sha256"])
def test_good_revoked_suspended_unknown(world: World, by: hashes.HashAlgorithm) -> None:
    g3 = world.pki.g3
    good, revoked, held, resumed = (world.pki.issue(g3) for _ in range(4))
    unknown = world.pki.issue(g3, record=False)
    world.revocations.revoke(g3.id, revoked.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    world.revocations.suspend(g3.id, held.serial, ACTOR)
    world.revocations.suspend(g3.id, resumed.serial, ACTOR)
    world.revocations.resume(g3.id, resumed.serial, ACTOR)
    expected: dict[OCSPCertStatus, list[tuple[IssuedCertificate, x509.ReasonFlags | None]]] = {
        OCSPCertStatus.GOOD: [(good, None), (resumed, None)],
        OCSPCertStatus.REVOKED: [
            (revoked, x509.ReasonFlags.key_compromise),
            (held, x509.ReasonFlags.certificate_hold),
        ],
        OCSPCertStatus.UNKNOWN: [(unknown, None)],
    }
    for status, cases in expected.items():
        for issued, reason in cases:
            response = world.ask(issued, g3, by=by)
            verify(response, g3)
            assert (response.certificate_status, response.revocation_reason) == (status, reason)
            assert response.serial_number == issued.serial
            assert response.this_update_utc == response.produced_at_utc == world.clock.now.replace(microsecond=0)
            assert response.next_update_utc == response.this_update_utc + timedelta(minutes=30)
            if status is OCSPCertStatus.REVOKED:
                assert response.revocation_time_utc == world.clock.now.replace(microsecond=0)


def test_two_generations_with_one_name_and_equal_serials(world: World) -> None:
    g2, g3 = world.pki.g2, world.pki.g3
    in_g3 = world.pki.issue(g3)
    in_g2 = world.pki.issue(g2, serial=in_g3.serial)
    world.revocations.revoke(g2.id, in_g2.serial, RevocationReason.SUPERSEDED, ACTOR)
    for by in (SHA1, SHA256):
        from_g2, from_g3 = world.ask(in_g2, g2, by=by), world.ask(in_g3, g3, by=by)
        verify(from_g2, g2)
        verify(from_g3, g3)
        assert from_g2.certificate_status is OCSPCertStatus.REVOKED
        assert from_g3.certificate_status is OCSPCertStatus.GOOD
        assert from_g2.issuer_name_hash == from_g3.issuer_name_hash


def test_a_stranger_with_the_same_name_is_not_spoken_for(world: World) -> None:
    stranger = SmallPki()
    response = world.ask(stranger.issue(stranger.g3), stranger.g3)
    assert stranger.g3.certificate.subject == world.pki.g3.certificate.subject == CITIZEN_CA_NAME
    assert response.response_status is OCSPResponseStatus.UNAUTHORIZED


def test_the_right_key_under_another_name_is_not_spoken_for(world: World) -> None:
    issued = world.pki.issue(world.pki.g3)
    octets = request(issued, world.pki.g3)
    name_hash = ocsp.load_der_ocsp_request(octets).issuer_name_hash
    answer = world.ocsp.respond(octets.replace(name_hash, bytes(20)))
    assert ocsp.load_der_ocsp_response(answer.der).response_status is OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("octets", [b"", b"0", b"\x30\x03\x0a\x01\x00", bytes(8_193)])
def test_garbage_is_malformed(world: World, octets: bytes) -> None:
    answer = world.ocsp.respond(octets)
    assert ocsp.load_der_ocsp_response(answer.der).response_status is OCSPResponseStatus.MALFORMED_REQUEST
    assert answer.cache_seconds is None


@pytest.mark.parametrize("size", [1, 32, 128])
def test_a_nonce_comes_back_and_such_an_answer_is_never_cached(world: World, size: int) -> None:
    issued = world.pki.issue(world.pki.g3)
    octets = request(issued, world.pki.g3, nonce=b"\x07" * size)
    answer = world.ocsp.respond(octets)
    response = ocsp.load_der_ocsp_response(answer.der)
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"\x07" * size
    assert answer.cache_seconds is None
    world.clock.advance(2)
    assert world.ocsp.respond(octets).this_update != answer.this_update


def many(*pairs: tuple[IssuedCertificate, Authority]) -> bytes:
    cert_ids = [asn1_ocsp.OCSPRequest.load(request(*pair))["tbs_request"]["request_list"][0] for pair in pairs]
    octets: bytes = asn1_ocsp.OCSPRequest({"tbs_request": {"request_list": cert_ids}}).dump()
    return octets


def test_several_certificates_in_one_request(world: World) -> None:
    g3 = world.pki.g3
    several = [world.pki.issue(g3) for _ in range(3)]
    unknown = world.pki.issue(g3, record=False)
    world.revocations.revoke(g3.id, several[1].serial, RevocationReason.UNSPECIFIED, ACTOR)
    answer = world.ocsp.respond(many(*[(issued, g3) for issued in (*several, unknown)]))
    response = ocsp.load_der_ocsp_response(answer.der)
    verify(response, g3)
    assert [single.certificate_status for single in response.responses] == [
        OCSPCertStatus.GOOD,
        OCSPCertStatus.REVOKED,
        OCSPCertStatus.GOOD,
        OCSPCertStatus.UNKNOWN,
    ]
    assert [single.serial_number for single in response.responses] == [x.serial for x in (*several, unknown)]
    assert answer.cache_seconds is None  # the unknown one may be issued the next moment


def test_certificates_of_two_issuers_in_one_request_are_refused(world: World) -> None:
    answer = world.ocsp.respond(
        many((world.pki.issue(world.pki.g3), world.pki.g3), (world.pki.issue(world.pki.g2), world.pki.g2))
    )
    assert ocsp.load_der_ocsp_response(answer.der).response_status is OCSPResponseStatus.UNAUTHORIZED


def test_a_kept_answer_goes_within_a_second_of_a_change_on_another_node(world: World) -> None:
    g3 = world.pki.g3
    issued, other = world.pki.issue(g3), world.pki.issue(g3)
    octets, others = request(issued, g3), request(other, g3)
    node = world.another_node()
    first, kept = node.respond(octets), node.respond(others)
    world.clock.advance(5)
    assert node.respond(octets).der == first.der
    world.revocations.suspend(g3.id, issued.serial, ACTOR)
    world.clock.advance(0.999)
    for responder in (node, world.ocsp):
        response = ocsp.load_der_ocsp_response(responder.respond(octets).der)
        assert response.certificate_status is OCSPCertStatus.REVOKED
    assert node.respond(others).der == kept.der
    world.revocations.resume(g3.id, issued.serial, ACTOR)
    world.clock.advance(0.999)
    assert world.ask(issued, g3).certificate_status is OCSPCertStatus.GOOD


def test_an_answer_overtaken_by_a_change_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    g3 = world.pki.g3
    issued = world.pki.issue(g3)
    octets = request(issued, g3)
    world.ocsp.respond(octets[:-1])  # polls the log
    world.clock.advance(1)
    status_and_change = StatusService.status_and_change

    def overtaken(self: StatusService, tx: object, certificate_id: int) -> object:
        status = status_and_change(self, tx, certificate_id)  # type: ignore[arg-type]  # passed through
        if certificate_id == issued.certificate_id:
            monkeypatch.setattr(StatusService, "status_and_change", status_and_change)
            world.revocations.revoke(g3.id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
        return status

    monkeypatch.setattr(StatusService, "status_and_change", overtaken)
    early = ocsp.load_der_ocsp_response(world.ocsp.respond(octets).der)
    assert early.certificate_status is OCSPCertStatus.GOOD  # read before the change was acknowledged
    world.clock.advance(0.999)
    assert world.ask(issued, g3).certificate_status is OCSPCertStatus.REVOKED


def test_a_certificate_asked_about_before_it_was_issued_is_good_at_once_after(world: World) -> None:
    g3 = world.pki.g3
    issued = world.pki.issue(g3, record=False)
    assert world.ask(issued, g3).certificate_status is OCSPCertStatus.UNKNOWN
    world.pki.certificates.kept[g3.id, issued.serial] = issued
    assert world.ask(issued, g3).certificate_status is OCSPCertStatus.GOOD


def test_http_caching_never_outlives_next_update(world: World) -> None:
    issued = world.pki.issue(world.pki.g3)
    octets = request(issued, world.pki.g3)
    seen: list[OcspAnswer] = []
    for _ in range(120):
        answer = world.ocsp.respond(octets)
        assert answer.cache_seconds is not None
        assert answer.next_update is not None
        assert 0 < answer.cache_seconds <= 60
        assert world.clock.now + timedelta(seconds=answer.cache_seconds) <= answer.next_update
        assert answer.next_update - world.clock.now >= timedelta(minutes=15)
        seen.append(answer)
        world.clock.advance(30)
    assert 3 <= len({answer.der for answer in seen}) <= 5


def test_the_cache_is_bounded(world: World) -> None:
    from ca_core.status.ocsp_answers import SignedAnswer
    from ca_core.status.ocsp_cache import AnswerCache

    cache = AnswerCache(world.database, StatusLog(), world.clock, poll=timedelta(seconds=1), size=3)
    head = cache.refresh()
    answer = SignedAnswer(
        der=b"",
        certificate_ids=frozenset({1}),
        this_update=world.clock.now,
        next_update=world.clock.now + timedelta(hours=1),
    )
    for number in range(5):
        cache.keep(bytes([number]), answer, known_head=head)
    kept = [number for number in range(5) if cache.find(bytes([number]), world.clock.now)]
    assert kept == [2, 3, 4]


def test_a_clock_that_steps_back_makes_fresh_answers(world: World) -> None:
    octets = request(world.pki.issue(world.pki.g3), world.pki.g3)
    world.clock.advance(7200)
    first = world.ocsp.respond(octets)
    world.clock.advance(-3600)
    second = world.ocsp.respond(octets)
    assert second.this_update == world.clock.now.replace(microsecond=0) != first.this_update


def test_without_a_responder_or_a_database_it_says_try_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = world.pki.issue(world.pki.g3)
    octets = request(issued, world.pki.g3)
    world.clock.advance(31 * 86_400)
    late = ocsp.load_der_ocsp_response(world.ocsp.respond(octets).der)
    assert late.response_status is OCSPResponseStatus.TRY_LATER

    @contextmanager
    def away(_: Database) -> Iterator[None]:
        raise Unavailable("gone")
        yield

    monkeypatch.setattr(Database, "read", away)
    gone = ocsp.load_der_ocsp_response(world.ocsp.respond(octets).der)
    assert gone.response_status is OCSPResponseStatus.TRY_LATER


def test_responders_renew_themselves_and_a_revoked_one_is_not_used(world: World) -> None:
    issuer = RequestIssuer(world.pki, world.clock)
    assert world.responders.ensure(issuer, world.rng) == []
    first = world.responders.current(world.pki.g3.id)
    world.clock.advance(16 * 86_400)
    assert world.responders.ensure(issuer, world.rng) == ["root-g1", "citizen-g2", "citizen-g3"]
    second = world.responders.current(world.pki.g3.id)
    assert second.certificate_der != first.certificate_der
    serial = x509.load_der_x509_certificate(second.certificate_der).serial_number
    world.revocations.revoke(world.pki.g3.id, serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    world.clock.advance(1)
    assert world.responders.current(world.pki.g3.id).certificate_der == first.certificate_der
    assert world.responders.ensure(issuer, world.rng) == ["citizen-g3"]


@pytest.mark.parametrize("state", ["good", "revoked", "unknown"])
@pytest.mark.parametrize("nonce", [None, b"n" * 32], ids=["plain", "nonce"])
def test_openssl_and_pkilint_accept_the_answers(world: World, tmp_path: Path, state: str, nonce: bytes | None) -> None:
    g3 = world.pki.g3
    issued = world.pki.issue(g3, record=state != "unknown")
    if state == "revoked":
        world.revocations.revoke(g3.id, issued.serial, RevocationReason.CESSATION_OF_OPERATION, ACTOR)
    sent, received, ca, leaf = (tmp_path / name for name in ("request.der", "response.der", "ca.pem", "leaf.pem"))
    sent.write_bytes(request(issued, g3, nonce=nonce))
    received.write_bytes(world.ocsp.respond(sent.read_bytes()).der)
    ca.write_bytes(g3.certificate.public_bytes(Encoding.PEM) + world.pki.root.certificate.public_bytes(Encoding.PEM))
    leaf.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
    at = str(int(world.clock.now.timestamp()))
    trust = ["-respin", received, "-CAfile", ca, "-attime", at, "-validity_period", "999999999"]
    openssl = [required_program("openssl"), "ocsp", *trust]
    by_request = run([*openssl, "-reqin", sent])
    by_certificate = run([*openssl, "-no_nonce", "-issuer", ca, "-cert", leaf])
    assert "Response verify OK" in by_request.stdout + by_request.stderr
    assert "WARNING" not in (by_request.stdout + by_request.stderr if nonce else "")
    assert f"{leaf}: {state}" in by_certificate.stdout
    linted = run([VENV / "lint_ocsp_response", "lint", "-s", "NOTICE", "-f", "TEXT", received], check=False)
    assert (linted.returncode, linted.stdout.strip()) == (0, ""), linted.stdout + linted.stderr


def test_cert_hash_proves_issuance_and_an_archive_cutoff_stands_for_the_expired(world: World) -> None:
    g3 = world.pki.g3
    issued, unknown = world.pki.issue(g3), world.pki.issue(g3, record=False)
    octets = request(issued, g3)
    single = _single(world.ocsp.respond(octets).der)
    digest = sha256(issued.certificate.public_bytes(Encoding.DER)).digest()
    assert single["1.3.36.8.3.13"].endswith(b"\x04\x20" + digest)
    assert "1.3.6.1.5.5.7.48.1.6" not in single
    assert _single(world.ocsp.respond(request(unknown, g3)).der) == {}
    expired = world.pki.issue(g3, not_after=world.clock.now - timedelta(days=1), not_before=START - timedelta(days=9))
    archived = ocsp.load_der_ocsp_response(world.ocsp.respond(request(expired, g3)).der)
    cutoff = next(x for x in archived.single_extensions if x.oid.dotted_string == "1.3.6.1.5.5.7.48.1.6").value
    assert isinstance(cutoff, x509.UnrecognizedExtension)
    assert cutoff.value[2:] == g3.certificate.not_valid_before_utc.strftime("%Y%m%d%H%M%SZ").encode()


def _single(answer: bytes) -> dict[str, bytes]:
    found = {}
    for extension in ocsp.load_der_ocsp_response(answer).single_extensions:
        assert not extension.critical
        assert isinstance(extension.value, x509.UnrecognizedExtension)
        found[extension.oid.dotted_string] = extension.value.value
    return found


@pytest.mark.parametrize("expected", ["good", "revoked"])
def test_ocsptool_and_openssl_with_several_serials_agree(world: World, tmp_path: Path, expected: str) -> None:
    g3 = world.pki.g3
    issued, other = world.pki.issue(g3), world.pki.issue(g3)
    if expected == "revoked":
        world.revocations.revoke(g3.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    ca, leaf, second, received = (tmp_path / name for name in ("ca.pem", "leaf.pem", "second.pem", "response.der"))
    root = tmp_path / "root.pem"
    ca.write_bytes(g3.certificate.public_bytes(Encoding.PEM))
    root.write_bytes(world.pki.root.certificate.public_bytes(Encoding.PEM) + ca.read_bytes())
    leaf.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
    second.write_bytes(other.certificate.public_bytes(Encoding.PEM))
    received.write_bytes(world.ocsp.respond(request(issued, g3)).der)
    tool = run([required_program("ocsptool"), "--response-info", "--inder", "--infile", received])
    assert f"Certificate Status: {expected}" in tool.stdout + tool.stderr
    at = str(int(world.clock.now.timestamp()))
    both = tmp_path / "both.der"
    asked = [required_program("openssl"), "ocsp", "-issuer", ca, "-cert", leaf, "-cert", second]
    run([*asked, "-nonce", "-reqout", both])
    received.write_bytes(world.ocsp.respond(both.read_bytes()).der)
    trust = ["-respin", received, "-CAfile", root, "-attime", at, "-validity_period", "999999999"]
    said = run([required_program("openssl"), "ocsp", "-reqin", both, *trust])
    assert "Response verify OK" in said.stdout + said.stderr
    assert "WARNING" not in said.stdout + said.stderr
    answered = ocsp.load_der_ocsp_response(received.read_bytes())
    statuses = [single.certificate_status.name.lower() for single in answered.responses]
    assert statuses == [expected, "good"]


def test_the_log_is_asked_before_memory_is_too_old(world: World) -> None:
    """In the last quarter of the quarter second, once, by whoever was told to; and not waited for."""
    issued = world.pki.issue(world.pki.g3)
    asked = request(issued, world.pki.g3)
    started: list[Callable[[], None]] = []
    world.ocsp.ask_ahead_by(started.append)
    world.ocsp.respond(asked)
    for seconds, expected in ((0.18, 0), (0.01, 1), (0.01, 1)):
        world.clock.advance(seconds)
        assert world.ocsp.remembered(asked) is not None
        assert len(started) == expected
    started.pop()()
    world.clock.advance(0.1)
    assert world.ocsp.remembered(asked) is not None
    world.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    world.clock.advance(0.1)
    assert world.ocsp.remembered(asked) is not None
    started.pop()()
    assert world.ocsp.remembered(asked) is None
    assert world.ask(issued, world.pki.g3).certificate_status is OCSPCertStatus.REVOKED


def test_a_log_that_cannot_be_asked_ahead_is_asked_again_and_memory_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(world.pki.issue(world.pki.g3), world.pki.g3)
    started: list[Callable[[], None]] = []
    world.ocsp.respond(asked)
    world.clock.advance(0.2)
    world.ocsp.ask_ahead_by(refused)
    assert world.ocsp.remembered(asked) is not None
    world.ocsp.ask_ahead_by(started.append)
    with monkeypatch.context() as patch:
        patch.setattr(world.database, "read", refused)
        assert world.ocsp.remembered(asked) is not None
        started.pop()()
        assert world.ocsp.remembered(asked) is not None
        started.pop()()
        world.clock.advance(0.05)
        assert world.ocsp.remembered(asked) is None
        assert ocsp.load_der_ocsp_response(world.ocsp.respond(asked).der).response_status is TRY_LATER
    assert ocsp.load_der_ocsp_response(world.ocsp.respond(asked).der).certificate_status is OCSPCertStatus.GOOD


def refused(*_: object) -> NoReturn:
    raise Unavailable("away")
