"""CRLs on both databases, judged by openssl, pkilint and cryptography."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import bindparam, select

from ca_core.audit import AuditLog
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.kernel.database import Database, Statement
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import PrivateKey
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService, crl_store
from ca_core.status.errors import AuthorityExpired, CrlSuperseded, SigningFault
from ca_core.status.signing import sign_digest
from support.fakes import FakeClock, SeededRng
from support.processes import required_program, run
from support.small_pki import SmallPki, new_key

VENV = Path(sys.executable).parent
ACTOR = "operator:7"
CHUNKS = Statement(select(crl_store.crl_chunks.c.crl_id).distinct())
STATES = Statement(
    select(crl_store.crls.c.number, crl_store.crls.c.state)
    .where(crl_store.crls.c.authority_id == bindparam("authority_id"))
    .order_by(crl_store.crls.c.number)
)


@dataclass
class World:
    database: Database
    clock: FakeClock
    pki: SmallPki
    audit: AuditLog
    revocations: RevocationService
    crls: CrlService
    archive: CrlArchive

    def latest(self, slug: str = "citizen-g3") -> x509.CertificateRevocationList:
        der = self.archive.latest(slug)
        assert der is not None
        return x509.load_der_x509_crl(der)

    def published(self, slug: str = "citizen-g3") -> x509.CertificateRevocationList:
        self.crls.publish(slug)
        return self.latest(slug)


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    pki = SmallPki()
    audit = AuditLog(clock, rng)
    return World(
        database=database,
        clock=clock,
        pki=pki,
        audit=audit,
        revocations=RevocationService(database, pki.certificates, audit, clock),
        crls=CrlService(database, pki.authorities, pki.keys, StatusLog(), audit, clock),
        archive=CrlArchive(database, pki.authorities),
    )


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def serials(crl: x509.CertificateRevocationList) -> set[int]:
    return {entry.serial_number for entry in crl}


def openssl(*arguments: str | Path, check: bool = True) -> str:
    done = run([required_program("openssl"), *arguments], check=check)
    return done.stdout + done.stderr


def test_an_empty_crl_is_judged_well(world: World, tmp_path: Path) -> None:
    crl = world.published()
    assert len(crl) == 0
    judge(world, tmp_path)


def test_a_crl_with_every_reason_is_judged_well(world: World, tmp_path: Path) -> None:
    expected = {}
    for reason in RevocationReason:
        issued = world.pki.issue(world.pki.g3)
        name = (issued.authority_id, issued.serial)
        if reason is RevocationReason.CERTIFICATE_HOLD:
            world.revocations.suspend(*name, ACTOR)
        elif reason is RevocationReason.REMOVE_FROM_CRL:
            world.revocations.suspend(*name, ACTOR)
            world.revocations.resume(*name, ACTOR)
            continue
        else:
            world.revocations.revoke(*name, reason, ACTOR, world.clock.now - timedelta(days=1))
        expected[issued.serial] = reason
    crl = world.published()
    assert serials(crl) == set(expected)
    for entry in crl:
        reason = expected[entry.serial_number]
        if reason is RevocationReason.UNSPECIFIED:
            with pytest.raises(x509.ExtensionNotFound):
                entry.extensions.get_extension_for_class(x509.CRLReason)
        else:
            assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value == reason.value
    judge(world, tmp_path)


def judge(world: World, folder: Path) -> None:
    """openssl and pkilint accept the latest CRL of citizen-g3."""
    der = world.archive.latest("citizen-g3")
    assert der is not None
    path, ca = folder / "latest.crl", folder / "ca.pem"
    path.write_bytes(der)
    ca.write_bytes(world.pki.g3.certificate.public_bytes(Encoding.PEM))
    assert "verify OK" in openssl("crl", "-inform", "DER", "-in", path, "-CAfile", ca, "-noout", "-verify")
    judged = run(
        [VENV / "lint_crl", "lint", "-t", "CRL", "-p", "PKIX", path, "-s", "NOTICE", "-f", "TEXT"], check=False
    )
    assert (judged.returncode, judged.stdout.strip()) == (0, ""), judged.stdout + judged.stderr


def test_openssl_tells_good_from_revoked_and_one_generation_from_the_other(world: World, tmp_path: Path) -> None:
    pki = world.pki
    g3 = pki.issue(pki.g3)
    g2 = pki.issue(pki.g2, serial=g3.serial)
    world.revocations.revoke(pki.g3.id, g3.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert serials(world.published("citizen-g3")) == {g3.serial}
    assert serials(world.published("citizen-g2")) == set()
    world.crls.publish("root-g1")
    crls = tmp_path / "crls.pem"
    crls.write_bytes(
        b"".join(world.latest(authority.slug).public_bytes(Encoding.PEM) for authority in pki.authorities.all())
    )
    root, between = tmp_path / "root.pem", tmp_path / "between.pem"
    root.write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    between.write_bytes(b"".join(ca.certificate.public_bytes(Encoding.PEM) for ca in (pki.g2, pki.g3)))
    answers = {}
    for name, issued in (("g3", g3), ("g2", g2)):
        leaf = tmp_path / f"{name}.pem"
        leaf.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
        at = str(int(world.clock.now.timestamp()))
        trust: list[str | Path] = ["-CAfile", root, "-untrusted", between, "-CRLfile", crls]
        answers[name] = openssl("verify", "-crl_check", "-attime", at, *trust, leaf, check=False)
    assert "certificate revoked" in answers["g3"]
    assert answers["g2"].endswith("g2.pem: OK\n")


def test_numbers_are_the_hour_in_taipei_and_rise_whatever_the_clock_does(world: World) -> None:
    world.clock.now = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)
    assert number_of(world.published()) == 2026030200
    assert number_of(world.published()) == 2026030201
    world.clock.now = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
    assert number_of(world.published()) == 2026030202
    world.clock.now = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
    assert number_of(world.published()) == 2026030212
    assert number_of(world.published("citizen-g2")) == 2026030212


def test_a_suspension_shows_as_a_hold_and_goes_with_the_resumption(world: World) -> None:
    issued = world.pki.issue(world.pki.g3)
    name = (issued.authority_id, issued.serial)
    world.revocations.suspend(*name, ACTOR)
    held = world.published().get_revoked_certificate_by_serial_number(issued.serial)
    assert held is not None
    assert held.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.certificate_hold
    assert held.revocation_date_utc == world.clock.now.replace(microsecond=0)
    world.revocations.resume(*name, ACTOR)
    assert serials(world.published()) == set()
    world.clock.advance(60)
    began = world.revocations.suspend(*name, ACTOR).at
    world.clock.advance(60)
    world.revocations.revoke(*name, RevocationReason.KEY_COMPROMISE, ACTOR)
    crl = world.published()
    assert len(crl) == 1
    assert crl[0].revocation_date_utc == began.replace(microsecond=0)


def test_an_entry_stays_for_one_crl_past_expiry(world: World) -> None:
    issued = world.pki.issue(world.pki.g3, not_after=world.clock.now + timedelta(hours=13))
    other = world.pki.issue(world.pki.g3)
    for certificate in (issued, other):
        world.revocations.revoke(certificate.authority_id, certificate.serial, RevocationReason.SUPERSEDED, ACTOR)
    listed = []
    for _ in range(4):
        listed.append(issued.serial in serials(world.published()))
        assert other.serial in serials(world.latest())
        world.clock.advance(12 * 3600)
    assert listed == [True, True, True, False]  # before expiry, before expiry, the one past it, gone


def test_what_is_revoked_after_its_expiry_is_on_one_crl(world: World) -> None:
    issued = world.pki.issue(world.pki.g3, not_after=world.clock.now + timedelta(hours=1))
    world.clock.advance(12 * 3600)
    world.published()
    world.clock.advance(60)
    world.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert serials(world.published()) == {issued.serial}
    assert serials(world.published()) == set()


def test_publishing_when_due(world: World) -> None:
    assert len(world.crls.publish_due()) == 3
    assert world.crls.publish_due() == []
    world.clock.advance(12 * 3600 - 1)
    assert world.crls.publish_due() == []
    world.clock.advance(1)
    assert len(world.crls.publish_due()) == 3
    with world.database.read() as tx:
        assert {event.name for event in world.audit.recent(tx)} == {"crl.begun", "crl.published"}


def test_an_offline_root_does_not_stop_the_others_and_a_lost_issuing_key_does(world: World) -> None:
    del world.pki.keys.kept["root-g1"]
    assert [record.authority_id for record in world.crls.publish_due()] == [world.pki.g2.id, world.pki.g3.id]
    world.clock.advance(13 * 3600)
    del world.pki.keys.kept["citizen-g3"]
    with pytest.raises(KeyNotFound):
        world.crls.publish_due()


def test_a_key_that_is_not_the_certificates_publishes_nothing(world: World) -> None:
    before = world.published()
    world.pki.keys.kept["citizen-g3"] = new_key()
    with pytest.raises(SigningFault):
        world.crls.publish("citizen-g3")
    assert world.latest() == before
    with pytest.raises(AuthorityNotFound):
        world.crls.publish("citizen-g9")


def test_next_update_never_outlives_the_authority(world: World) -> None:
    ends = world.clock.now + timedelta(hours=5)
    world.pki.add_authority("citizen-g4", world.pki.g3.certificate.subject, parent=world.pki.root, not_after=ends)
    assert world.published("citizen-g4").next_update_utc == ends.replace(microsecond=0)


def test_nothing_is_signed_for_an_authority_that_expired(world: World) -> None:
    ends = world.clock.now + timedelta(hours=5)
    world.pki.add_authority("citizen-g4", world.pki.g3.certificate.subject, parent=world.pki.root, not_after=ends)
    assert len(world.crls.publish_due()) == 4
    world.clock.advance(86_400)
    assert len(world.crls.publish_due()) == 3
    with pytest.raises(AuthorityExpired):
        world.crls.publish("citizen-g4")


def test_a_large_crl_lies_in_chunks_and_old_octets_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca_core.status.crl_body.CHUNK_BYTES", 500)
    monkeypatch.setattr("ca_core.revocation.store._PAGE", 7)
    revoked = [world.pki.issue(world.pki.g3) for _ in range(50)]
    for issued in revoked:
        world.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    crl = world.published()
    assert serials(crl) == {issued.serial for issued in revoked}
    assert crl.is_signature_valid(world.pki.g3.public_key)
    record = world.archive.latest_record("citizen-g3")
    assert record is not None
    assert record.chunks > 4
    assert record.size_bytes == len(crl.public_bytes(Encoding.DER))
    assert record.entries == 50
    for _ in range(3):
        world.published()
    with world.database.read() as tx:
        assert len(tx.all(CHUNKS)) == 2
        assert len(tx.all(STATES, authority_id=world.pki.g3.id)) == 4
    with pytest.raises(CrlSuperseded):
        world.archive.chunk(record, 1)


def test_a_crl_that_dies_half_way_leaves_an_unused_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = number_of(world.published())

    def die(*_: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("ca_core.status.crl_body.sign_digest", die)
        with pytest.raises(MemoryError):
            world.crls.publish("citizen-g3")
    assert number_of(world.latest()) == first
    assert number_of(world.published()) == first + 2
    with world.database.read() as tx:
        assert tx.all(STATES, authority_id=world.pki.g3.id) == [
            (first, "published"),
            (first + 1, "given_up"),
            (first + 2, "published"),
        ]


def test_a_slow_worker_never_publishes_an_older_list_over_a_newer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = world.pki.issue(world.pki.g3)
    overtaken = []

    def slow(key: PrivateKey, digest: bytes) -> bytes:
        monkeypatch.setattr("ca_core.status.crl_body.sign_digest", sign_digest)
        world.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
        overtaken.append(number_of(world.published()))
        return sign_digest(key, digest)

    monkeypatch.setattr("ca_core.status.crl_body.sign_digest", slow)
    with pytest.raises(CrlSuperseded):
        world.crls.publish("citizen-g3")
    assert number_of(world.latest()) == overtaken[0]
    assert serials(world.latest()) == {issued.serial}


def test_workers_at_once_take_different_numbers_and_no_entry_goes_backwards(world: World) -> None:
    barrier = threading.Barrier(4)

    def work(_: int) -> list[tuple[int, int]]:
        barrier.wait()
        made = []
        for _ in range(3):
            try:
                record = world.crls.publish("citizen-g3")
            except CrlSuperseded:
                continue
            made.append((record.number, record.through))
        return made

    several = [world.pki.issue(world.pki.g3) for _ in range(12)]

    def revoke(_: int) -> list[tuple[int, int]]:
        barrier.wait()
        for issued in several:
            world.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
        return []

    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(work if number else revoke, number) for number in range(4)]
        made = sorted(pair for result in results for pair in result.result())
    numbers = [number for number, _ in made]
    assert len(set(numbers)) == len(numbers)
    throughs = [through for _, through in made]
    assert throughs == sorted(throughs)
    assert serials(world.published()) == {issued.serial for issued in several}
