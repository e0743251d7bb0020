"""If the audit entry cannot be written, the CA does not sign: shown by counting what its keys sign."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ca_core.audit import AuditUnavailable
from ca_core.issuance import CertificateStore, IssuanceRequest, IssuedCertificate
from ca_core.issuance.model import LintMode
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.keys import KeyNotFound
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService, StatusService
from support.audit_refusal import CountingKeyStore, audit_refused, contents
from support.fakes import FakeClock, SeededRng
from support.pki import PUBLICATION_URL, World, ceremony, citizen_request, make_world

ACTOR = "operator:7"


@dataclass
class House:
    """An authority whose keys count, and everything that signs with them."""

    database: Database
    world: World
    keys: CountingKeyStore
    revocations: RevocationService
    crls: CrlService
    archive: CrlArchive

    def issue(self, request_id: str = "first") -> IssuedCertificate:
        return self.world.issuance.issue(citizen_request(request_id))

    def signs_nothing(self, act: Callable[[], object]) -> None:
        """The act is refused, no key signed, and every row of every table is what it was."""
        before, signatures = contents(self.database), self.keys.signatures
        with audit_refused(self.database):
            for _ in range(2):
                with pytest.raises(Unavailable) as refused:
                    act()
                assert isinstance(refused.value, AuditUnavailable)
        assert self.keys.signatures == signatures
        assert contents(self.database) == before


@pytest.fixture
def house(database: Database, clock: FakeClock, rng: SeededRng) -> House:
    keys = CountingKeyStore()
    world = make_world(database, clock, rng, key_store=keys)
    return House(
        database=database,
        world=world,
        keys=keys,
        revocations=RevocationService(database, CertificateStore(), world.audit, clock),
        crls=CrlService(
            database, world.registry, keys, StatusLog(), world.audit, clock, publication_url=PUBLICATION_URL
        ),
        archive=CrlArchive(database, world.registry),
    )


def several(count: int = 5) -> list[IssuanceRequest]:
    return [citizen_request(f"several-{index}", card_number=f"{index:016d}") for index in range(count)]


def test_no_certificate_is_signed(house: House) -> None:
    request = citizen_request()
    house.signs_nothing(lambda: house.world.issuance.issue(request))
    signatures = house.keys.signatures
    issued = house.world.issuance.issue(request)
    assert house.world.issuance.issue(request) == issued
    assert house.keys.signatures == signatures + 1


@pytest.mark.parametrize("mode", list(LintMode))
def test_no_batch_is_signed(house: House, mode: LintMode) -> None:
    requests = several()
    house.signs_nothing(lambda: house.world.issuance.issue_many(requests, lint=mode, batch_size=2))
    signatures = house.keys.signatures
    outcomes = house.world.issuance.issue_many(requests, lint=mode, batch_size=2)
    assert all(isinstance(outcome, IssuedCertificate) for outcome in outcomes)
    assert house.keys.signatures == signatures + len(requests)


def test_what_was_intended_before_is_not_signed_either(house: House) -> None:
    requests = several(3)
    with audit_refused(house.database, "certificate.issued"), pytest.raises(AuditUnavailable):
        house.world.issuance.issue_many(requests, lint=LintMode.TEMPLATE)
    house.signs_nothing(house.world.issuance.recover)
    house.signs_nothing(lambda: house.world.issuance.issue_many(requests))
    house.signs_nothing(lambda: house.world.issuance.issue(requests[0]))
    signatures = house.keys.signatures
    assert len(house.world.issuance.recover().recovered) == 3
    assert house.keys.signatures == signatures + 3
    with house.database.read() as tx:
        names = [event.name for event in house.world.audit.recent(tx)]
    assert (names.count("issuance.resumed"), names[:3]) == (1, ["certificate.issued"] * 3)


def test_an_intent_that_cannot_be_signed_is_not_told_of_again_and_again(house: House) -> None:
    """A root in a safe leaves one open for months, and the worker comes by every few minutes."""
    request = citizen_request()
    with audit_refused(house.database, "certificate.issued"), pytest.raises(AuditUnavailable):
        house.world.issuance.issue(request)
    key = house.keys.keys.pop("citizen-g1")
    before, signatures = contents(house.database), house.keys.signatures
    for _ in range(3):
        assert len(house.world.issuance.recover().stuck) == 1
        with pytest.raises(KeyNotFound):
            house.world.issuance.issue(request)
    assert (contents(house.database), house.keys.signatures) == (before, signatures)
    house.keys.keys["citizen-g1"] = key
    assert len(house.world.issuance.recover().recovered) == 1


def test_no_list_is_signed(house: House) -> None:
    issued = house.issue()
    house.crls.publish_due()
    house.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    before = house.archive.latest("citizen-g1")
    house.signs_nothing(lambda: house.crls.publish("citizen-g1"))
    house.signs_nothing(lambda: house.crls.publish_delta("citizen-g1"))
    assert house.archive.latest("citizen-g1") == before
    assert house.crls.publish("citizen-g1").entries == 1
    assert house.crls.publish_delta("citizen-g1").entries == 1


def test_a_list_that_was_signed_and_cannot_be_told_of_is_not_published(house: House) -> None:
    first = house.crls.publish("citizen-g1")
    before = house.archive.latest("citizen-g1")
    with audit_refused(house.database, "crl.published"), pytest.raises(AuditUnavailable):
        house.crls.publish("citizen-g1")
    assert house.archive.latest("citizen-g1") == before
    assert house.crls.publish("citizen-g1").number == first.number + 2  # the number between was taken, for good


def test_no_status_is_changed(house: House) -> None:
    issued = house.issue()
    name = (issued.authority_id, issued.serial)
    house.signs_nothing(lambda: house.revocations.revoke(*name, RevocationReason.KEY_COMPROMISE, ACTOR))
    house.signs_nothing(lambda: house.revocations.suspend(*name, ACTOR))
    house.revocations.suspend(*name, ACTOR)
    house.signs_nothing(lambda: house.revocations.resume(*name, ACTOR))
    house.revocations.revoke(*name, RevocationReason.KEY_COMPROMISE, ACTOR)
    with house.database.read() as tx:
        status = StatusService(StatusLog()).status_of(tx, issued.certificate_id)
    assert status.reason is RevocationReason.KEY_COMPROMISE


def test_no_ceremony_makes_a_key_or_a_certificate(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    keys = CountingKeyStore()
    world = World(database, clock, rng, key_store=keys)
    with audit_refused(database), pytest.raises(AuditUnavailable):
        world.hold(ceremony())
    assert (keys.keys, keys.signatures, world.registry.all()) == ({}, 0, ())
    assert all(rows == [] for rows in contents(database).values())
    world.hold(ceremony())
    assert [authority.slug for authority in world.registry.all()] == ["root-g1", "citizen-g1"]
    assert keys.signatures == 2


@pytest.mark.parametrize("name", ["issuance.intended", "authority.created"])
def test_a_ceremony_that_cannot_be_told_of_half_way_goes_on_later(
    database: Database, clock: FakeClock, rng: SeededRng, name: str
) -> None:
    keys = CountingKeyStore()
    world = World(database, clock, rng, key_store=keys)
    with audit_refused(database, name), pytest.raises(AuditUnavailable):
        world.hold(ceremony())
    assert keys.signatures == (0 if name == "issuance.intended" else 1)
    world.hold(ceremony())
    assert keys.signatures == 2
