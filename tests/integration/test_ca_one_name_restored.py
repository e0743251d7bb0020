"""Two authorities of one name whose serials are equal, restored from a backup older than what was done in one."""

from pathlib import Path

import pytest
from cryptography import x509

from ca_core.backup.service import verify_restored
from ca_core.issuance import CertificateStore, IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.revocation import Change, RevocationReason, StatusLog
from ca_core.status import CrlArchive
from ca_core.status.crl_checker import CrlChecker
from support.fakes import FakeClock, SeededRng
from support.pki import ceremony, citizen_request
from support.second_place import Guarded

SLUGS = ("citizen-g1", "citizen-g2")
ACTOR = "operator:1"


class ChosenSerials(SeededRng):
    """Octets by chance, but for the serial that a test asks for: the next 16 octets."""

    chosen: int | None = None

    def __call__(self, size_bytes: int) -> bytes:
        if size_bytes == 16 and self.chosen is not None:
            serial, self.chosen = self.chosen, None
            return serial.to_bytes(16, "big")
        return super().__call__(size_bytes)


def issue(guarded: Guarded, slug: str, serial: int, number: int) -> IssuedCertificate:
    assert isinstance(guarded.rng, ChosenSerials)
    guarded.rng.chosen = serial
    request = citizen_request(f"{slug}-{number}", authority=slug, card_number=f"{number:08d}{SLUGS.index(slug):08d}")
    issued = guarded.issuance.issue(request)
    assert issued.serial == serial
    return issued


def change_of(database: Database, issued: IssuedCertificate) -> Change | None:
    with database.read() as tx:
        found = CertificateStore().find(tx, issued.authority_id, issued.serial)
        assert found is not None and found.certificate == issued.certificate
        latest = StatusLog().latest(tx, found.certificate_id)
    return None if latest is None else latest.change


@pytest.mark.parametrize("changed", SLUGS)
def test_what_was_done_in_one_comes_back_in_that_one(
    database: Database,
    database_url: str,
    tmp_path: Path,
    clock: FakeClock,
    target_url: str,
    restored: Database,
    changed: str,
) -> None:
    guarded = Guarded(database_url, tmp_path, database, clock, ChosenSerials())
    guarded.found()
    guarded.world.hold(ceremony(with_root=False, issuing=SLUGS[1:]))
    authorities = {slug: guarded.world.registry.by_slug(slug) for slug in SLUGS}
    assert len({one.certificate.subject.public_bytes() for one in authorities.values()}) == 1
    before, held, after = (0x51 << 112, 0x52 << 112, 0x53 << 112)
    twins = {
        (slug, serial): issue(guarded, slug, serial, n) for n, serial in enumerate((before, held)) for slug in SLUGS
    }
    for slug in SLUGS:
        guarded.revocation.suspend(authorities[slug].id, held, ACTOR)
        guarded.crls.publish(slug)
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    clock.advance(600)
    guarded.revocation.revoke(authorities[changed].id, before, RevocationReason.SUPERSEDED, ACTOR)
    guarded.revocation.resume(authorities[changed].id, held, ACTOR)
    twins |= {(slug, after): issue(guarded, slug, after, 2) for slug in SLUGS}
    guarded.revocation.revoke(authorities[changed].id, after, RevocationReason.SUPERSEDED, ACTOR)
    report = guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
    verify_restored(restored)
    assert (report.replay.changes, report.replay.certificates, report.replay.uncertain) == (3, 2, 0)
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    for slug in SLUGS:
        found = [change_of(restored, twins[slug, serial]) for serial in (before, held, after)]
        mine = slug == changed
        assert found == ([Change.REVOKE, Change.RESUME, Change.REVOKE] if mine else [None, Change.SUSPEND, None])
        again.crls.publish(slug)
        der = CrlArchive(restored, again.world.registry).latest(slug)
        assert der is not None
        listed = {entry.serial_number for entry in x509.load_der_x509_crl(der)}
        assert listed == ({before, after} if mine else {held})
        checker = CrlChecker(restored, again.world.registry, StatusLog(), clock, shards=again.shards)
        assert checker.check(slug).faults == []
