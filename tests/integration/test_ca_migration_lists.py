"""A list that moves in beside what stands here already: told where it differs, and never a step back."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import text

from ca_core.audit import AuditLog
from ca_core.authorities import AuthorityRegistry
from ca_core.issuance import CertificateStore
from ca_core.kernel.database import Database, Statement
from ca_core.migration.journal import refused_entries
from ca_core.migration.model import ImportReport
from ca_core.migration.service import MigrationService
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CertificateState
from ca_core.status.service import StatusService
from support.fakes import START, FakeClock, SeededRng
from support.moving_in import ACTOR, moving_in
from support.old_house import OldHouse, write_pem

HELD = x509.ReasonFlags.certificate_hold
AT = START - timedelta(days=30)
CHANGES = Statement(text("SELECT count(*) FROM status_changes"))


@pytest.fixture(scope="module")
def house() -> OldHouse:
    return OldHouse()


class Lists:
    """Lists of one authority whose certificates are here, and the revocations of this house."""

    def __init__(
        self, database: Database, service: MigrationService, house: OldHouse, clock: FakeClock, folder: Path
    ) -> None:
        self.database, self.service, self.house, self.folder = database, service, house, folder
        self.revocation = RevocationService(database, CertificateStore(), AuditLog(clock, SeededRng()), clock)
        self.authority_id = AuthorityRegistry(database, clock).by_slug("old-g1").id
        self.number = 2026030208

    def bring(self, *serials: int) -> None:
        found = [self.house.certificate(serial) for serial in serials]
        path = write_pem(self.folder / f"{serials}.pem", found)
        assert self.service.import_certificates(path, "old-g1", actor=ACTOR, without_holders=True).refused == 0

    def read(
        self, entries: dict[int, tuple[datetime, x509.ReasonFlags | None]], *, number: int | None = None
    ) -> ImportReport:
        self.number = self.number + 1 if number is None else number
        path = self.folder / "list.crl"
        path.write_bytes(self.house.crl(entries, number=self.number).public_bytes(Encoding.DER))
        return self.service.import_crl(path, "old-g1", actor=ACTOR)

    def states(self, *serials: int) -> list[CertificateState]:
        with self.database.read() as tx:
            found = [CertificateStore().find(tx, self.authority_id, serial) for serial in serials]
            status = StatusService(StatusLog())
            return [status.status_of(tx, one.certificate_id).state for one in found if one is not None]


@pytest.fixture
def lists(database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse, tmp_path: Path) -> Lists:
    service = moving_in(database, clock, rng)
    for slug in ("root", "g1"):
        service.authorities.add(house.authorities[slug].public_bytes(Encoding.PEM), slug=f"old-{slug}", actor=ACTOR)
    return Lists(database, service, house, clock, tmp_path)


def test_an_entry_that_differs_from_what_stands_here_is_told_and_changes_nothing(
    database: Database, lists: Lists
) -> None:
    lists.bring(*range(1, 8))
    compromise, superseded = x509.ReasonFlags.key_compromise, x509.ReasonFlags.superseded
    first = {number: (AT, compromise) for number in (1, 2, 3, 6)} | {4: (AT, HELD), 5: (AT, HELD)}
    assert lists.read(dict(first)).accepted == 6
    earlier = AT - timedelta(days=1)
    report = lists.read(
        {
            1: (AT, compromise),
            2: (AT, superseded),
            3: (earlier, compromise),
            4: (earlier, HELD),
            5: (AT, HELD),
            6: (AT, HELD),
            7: (AT, x509.ReasonFlags.remove_from_crl),
        }
    )
    assert (report.accepted, report.known, dict(report.reasons)) == (0, 3, {"status_differs": 4})
    told = [refusal.place for refusal in refused_entries(database) if refusal.digest == report.digest]
    assert told == ["entry 2", "entry 3", "entry 4", "entry 6"]
    with database.read() as tx:
        assert tx.one_or_none(CHANGES) == (6,)
    again = lists.read(dict(first), number=lists.number + 1)
    assert (again.accepted, again.known, again.refused) == (0, 6, 0)


def test_what_was_revoked_here_within_a_second_of_the_entrys_date_is_the_same(lists: Lists, clock: FakeClock) -> None:
    lists.bring(1)
    clock.advance(0.25)
    lists.revocation.revoke(lists.authority_id, 1, RevocationReason.KEY_COMPROMISE, ACTOR)
    report = lists.read({1: (START, x509.ReasonFlags.key_compromise)})
    assert (report.known, report.refused) == (1, 0)


def test_the_same_list_again_suspends_nothing_that_was_released_meanwhile(lists: Lists) -> None:
    lists.bring(1)
    entries = {1: (AT, HELD), 2: (AT, None)}
    assert lists.read(dict(entries)).accepted == 1
    lists.revocation.resume(lists.authority_id, 1, ACTOR)
    lists.bring(2)
    report = lists.read(dict(entries), number=lists.number)
    assert (report.accepted, report.known, report.refused) == (1, 1, 0)
    assert lists.states(1, 2) == [CertificateState.GOOD, CertificateState.REVOKED]


def test_a_list_that_is_older_than_what_stands_here_suspends_and_releases_nothing(
    lists: Lists, clock: FakeClock
) -> None:
    """Its revocations are taken in: they were final when it was made."""
    lists.bring(1, 2, 3)
    for serial in (1, 2, 3):
        lists.revocation.suspend(lists.authority_id, serial, ACTOR)
    clock.advance(60)
    for serial in (1, 3):
        lists.revocation.resume(lists.authority_id, serial, ACTOR)
    report = lists.read({1: (AT, HELD), 2: (AT, x509.ReasonFlags.remove_from_crl), 3: (AT, None)})
    assert (report.accepted, report.known, dict(report.reasons)) == (1, 0, {"status_newer": 2})
    assert lists.states(1, 2, 3) == [CertificateState.GOOD, CertificateState.SUSPENDED, CertificateState.REVOKED]
