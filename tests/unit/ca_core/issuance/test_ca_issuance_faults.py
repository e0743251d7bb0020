"""Serials, and what a fault of ours leaves behind: nothing that was not told of, nothing lost."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ca_core.audit import AuditEvent, AuditLog
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.draft import new_serial
from ca_core.issuance.errors import IssuanceFault, IssuerNotValid
from ca_core.issuance.model import IssuanceRequest
from ca_core.issuance.store import CertificateStore
from ca_core.kernel.database import Database, Transaction
from ca_core.keys import KeyNotFound
from ca_core.keys.hsm_keys import HsmEcPrivateKey
from ca_core.keys.model import PrivateKey
from ca_core.revocation import RevocationReason, RevocationService
from support.audit_refusal import CountingKeyStore
from support.fakes import FakeClock, SeededRng
from support.issuance_rows import counts
from support.pki import (
    MemoryKeyStore,
    World,
    ceremony,
    certification_request,
    citizen_request,
    new_key,
)

# Serials


def test_serials_are_positive_and_of_sixteen_octets_at_most() -> None:
    assert new_serial(lambda size: b"\xff" * size) == 2**127 - 1
    answers = iter([bytes(16), b"\x80" + bytes(15), bytes(15) + b"\x01"])
    assert new_serial(lambda size: next(answers)) == 1


def test_random_numbers_that_repeat_use_no_serial_twice(database: Database, clock: FakeClock, world: World) -> None:
    stuck = World(database, clock, lambda size: b"\x22" * size, key_store=world.key_store)
    stuck.issuance.issue(citizen_request("r1"))
    before = counts(database)
    with pytest.raises(IssuanceFault):
        stuck.issuance.issue(citizen_request("r2"))
    assert counts(database) == before


def test_a_serial_of_an_open_intent_counts_as_used(database: Database, clock: FakeClock, world: World) -> None:
    class Died(Exception):
        pass

    def die(step: Step) -> None:
        if step is Step.INTENT_RECORDED:
            raise Died

    octets = iter([b"\x33" * 16, b"\x33" * 16, b"\x44" * 16])
    dying = World(database, clock, lambda size: next(octets), key_store=world.key_store, checkpoint=die)
    with pytest.raises(Died):
        dying.issuance.issue(citizen_request("r1"))
    dying.issuance._records._checkpoint = lambda step: None
    dying.issuance._records._audit = world.audit
    assert dying.issuance.issue(citizen_request("r2")).serial == int.from_bytes(b"\x44" * 16, "big")


# Faults of ours


class FailingAudit(AuditLog):
    """Fails at the end of an issuance, once everything is signed."""

    def append(self, tx: Transaction, event: AuditEvent) -> None:
        if event.name == "certificate.issued":
            raise IssuanceFault("the audit log cannot be written")
        super().append(tx, event)


def test_without_its_audit_event_nothing_is_recorded(database: Database, world: World, clock: FakeClock) -> None:
    world.issuance._records._audit = FailingAudit(clock, SeededRng())
    before = counts(database)
    request = citizen_request()
    with pytest.raises(IssuanceFault):
        world.issuance.issue(request)
    assert counts(database) == [before[0] + 1, before[1], before[2] + 1, before[3] + 1]
    world.issuance._records._audit = world.audit
    report = world.issuance.recover()
    assert [issued.certificate for issued in report.recovered] == [world.issuance.issue(request).certificate]
    told = 3  # intended, resumed, issued
    assert counts(database) == [*(count + 1 for count in before[:3]), before[3] + told]


def test_another_key_under_the_authoritys_label_signs_nothing(database: Database, world: World) -> None:
    assert isinstance(world.key_store, MemoryKeyStore)
    right = world.key_store.keys["citizen-g1"]
    world.key_store.keys["citizen-g1"] = new_key()
    before = counts(database)
    with pytest.raises(IssuanceFault):
        world.issuance.issue(citizen_request("r1"))
    assert counts(database)[1] == before[1]
    world.key_store.keys["citizen-g1"] = right
    assert len(world.issuance.recover().recovered) == 1


def test_a_key_store_that_signs_wrongly_is_found_out(database: Database, world: World) -> None:
    assert isinstance(world.key_store, MemoryKeyStore)
    key = world.key_store.keys["citizen-g1"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    world.key_store.keys["citizen-g1"] = HsmEcPrivateKey(key.public_key(), lambda digest: b"\x01" * 64)
    before = counts(database)
    with pytest.raises(IssuanceFault):
        world.issuance.issue(citizen_request("r1"))
    assert counts(database)[1] == before[1]


def test_an_intent_whose_key_is_gone_is_reported_and_stays(database: Database, world: World) -> None:
    assert isinstance(world.key_store, MemoryKeyStore)
    key = world.key_store.keys.pop("citizen-g1")
    request = citizen_request("r1")
    with pytest.raises(KeyNotFound):
        world.issuance.issue(request)
    other = citizen_request("r2", authority="citizen-g2")
    world.issuance._records._audit = FailingAudit(world.clock, SeededRng())
    with pytest.raises(IssuanceFault):
        world.issuance.issue(other)
    world.issuance._records._audit = world.audit
    report = world.issuance.recover()
    assert [stuck.request_id for stuck in report.stuck] == ["r1"]
    assert report.stuck[0].reason.startswith("key_not_found")
    assert [issued.profile for issued in report.recovered] == ["citizen-authentication"]
    assert [stuck.request_id for stuck in world.issuance.recover().stuck] == ["r1"]
    world.key_store.keys["citizen-g1"] = key
    assert world.issuance.recover().recovered[0].certificate == world.issuance.issue(request).certificate


def responder_request(key: PrivateKey) -> IssuanceRequest:
    return IssuanceRequest(
        request_id="responder",
        common_name="OCSP 1",
        profile="ocsp-responder",
        authority="citizen-g1",
        public_key=key.public_key(),
        actor="system:va",
        csr=certification_request(key),
    )


@pytest.mark.parametrize("revoked", [False, True], ids=["suspended", "revoked"])
def test_an_open_intent_of_an_authority_that_is_no_longer_good_stays_open(
    database: Database, world: World, clock: FakeClock, revoked: bool
) -> None:
    assert isinstance(world.key_store, MemoryKeyStore)
    key, ours = world.key_store.keys.pop("citizen-g1"), world.registry.by_slug("citizen-g1").certificate
    requests = [citizen_request("r1"), citizen_request("r2"), responder_request(new_key())]
    for request in requests:
        with pytest.raises(KeyNotFound):
            world.issuance.issue(request)
    world.key_store.keys["citizen-g1"] = key
    revocation = RevocationService(database, CertificateStore(), world.audit, clock)
    root_id = world.registry.by_slug("root-g1").id
    if revoked:
        revocation.revoke(root_id, ours.serial_number, RevocationReason.CA_COMPROMISE, "operator:1")
    else:
        revocation.suspend(root_id, ours.serial_number, "operator:1")
    before = counts(database)
    with pytest.raises(IssuerNotValid) as refused:
        world.issuance.issue(requests[0])
    with pytest.raises(IssuerNotValid) as new:
        world.issuance.issue(citizen_request("r3"))
    assert refused.value.detail == new.value.detail == "the authority's certificate is revoked or suspended"
    assert [type(outcome) for outcome in world.issuance.issue_many(requests[:2])] == [IssuerNotValid] * 2
    assert counts(database) == before
    report = world.issuance.recover()
    assert [issued.profile for issued in report.recovered] == ["ocsp-responder"]
    reason = "issuance_issuer_not_valid: the authority's certificate is revoked or suspended"
    assert {(stuck.request_id, stuck.reason) for stuck in report.stuck} == {("r1", reason), ("r2", reason)}
    assert world.issuance.issue(requests[2]).certificate == report.recovered[0].certificate
    if not revoked:
        revocation.resume(root_id, ours.serial_number, "operator:1")
        issued = world.issuance.issue(requests[0])
        (late,) = world.issuance.recover().recovered
        assert late.certificate == world.issuance.issue(requests[1]).certificate
        revocation.suspend(root_id, ours.serial_number, "operator:1")
        assert world.issuance.issue(requests[0]).certificate == issued.certificate


def test_recovery_goes_through_any_number_of_open_intents(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca_core.issuance.records._PAGE", 2)
    assert isinstance(world.key_store, MemoryKeyStore)
    key = world.key_store.keys.pop("citizen-g1")
    for number in range(5):
        with pytest.raises(KeyNotFound):
            world.issuance.issue(citizen_request(f"r{number}"))
    assert len(world.issuance.recover().stuck) == 5
    world.key_store.keys["citizen-g1"] = key
    assert len(world.issuance.recover().recovered) == 5


def test_a_label_that_leads_to_another_key_signs_nothing(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    """Not even what would be refused when it is read back: it would be another authority's signature."""
    keys = CountingKeyStore()
    world = World(database, clock, rng, key_store=keys)
    world.hold(ceremony(issuing=("citizen-g1", "citizen-g2")))
    keys.keys["citizen-g1"] = keys.keys["citizen-g2"]
    before = keys.signatures
    with pytest.raises(IssuanceFault, match="another key"):
        world.issuance.issue(citizen_request())
    assert keys.signatures == before
    assert world.issuance.issue(citizen_request("r2", authority="citizen-g2", card_number="2" * 16)).serial
