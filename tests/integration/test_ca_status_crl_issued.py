"""From issuance to the shard's list, nothing faked: the shard is in the certificate, its row, the log and a list."""

from typing import Any

import pytest
from cryptography import x509

from ca_core.audit import AuditLog
from ca_core.crl_shards import ShardLayouts
from ca_core.issuance import CertificateStore, IssuanceService
from ca_core.kernel.database import Database
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService
from ca_core.status.crl_checker import CrlChecker
from support.fakes import FakeClock, SeededRng
from support.pki import CITIZEN_PROFILES, PUBLICATION_URL, citizen_request, make_world, new_key


@pytest.mark.parametrize("profile", CITIZEN_PROFILES)
def test_a_certificate_is_revoked_in_its_shard(
    database: Database, clock: FakeClock, rng: SeededRng, profile: str
) -> None:
    world = make_world(database, clock, rng)
    authority = world.registry.by_slug("citizen-g1")
    audit = AuditLog(clock, rng)
    shards = ShardLayouts(database, audit, clock)
    issuance = IssuanceService(
        database=database,
        registry=world.registry,
        key_store=world.key_store,
        profiles=world.profiles,
        audit=audit,
        publication_url=PUBLICATION_URL,
        clock=clock,
        rng=rng,
        crl_shards=shards,
    )
    algorithm = world.profiles[profile].key_algorithms[-1]
    before = issuance.issue(citizen_request("before", profile=profile, key=new_key(algorithm)))
    assert before.crl_shard is None
    shards.introduce(authority.id, authority.slug, count=4, publication_url=PUBLICATION_URL, actor="operator:1")
    person: dict[str, Any] = {"subject_serial_number": "0000000112345679", "person_id": "person-2"}
    issued = issuance.issue(citizen_request("after", profile=profile, key=new_key(algorithm), **person))
    assert issued.crl_shard == issued.serial % 4
    points = issued.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == [
        f"{PUBLICATION_URL}/crl/citizen-g1/{issued.crl_shard}.crl",
        f"{PUBLICATION_URL}/crl/citizen-g1.crl",
    ]
    with database.read() as tx:
        found = CertificateStore().find(tx, authority.id, issued.serial)
    assert found is not None
    assert found.crl_shard == issued.crl_shard
    shards.introduce(authority.id, authority.slug, count=7, publication_url=PUBLICATION_URL, actor="operator:1")
    revocations = RevocationService(database, CertificateStore(), audit, clock)
    for certificate in (before, issued):
        change = revocations.revoke(authority.id, certificate.serial, RevocationReason.KEY_COMPROMISE, "operator:1")
        assert change.crl_shard == certificate.crl_shard
    log = StatusLog()
    CrlService(database, world.registry, world.key_store, log, audit, clock, shards=shards).publish("citizen-g1")
    archive = CrlArchive(database, world.registry)
    for number in range(11):
        der = archive.latest_shard("citizen-g1", number)
        assert der is not None
        listed = {entry.serial_number for entry in x509.load_der_x509_crl(der)}
        assert listed == ({issued.serial} if number == issued.crl_shard else set())
    check = CrlChecker(database, world.registry, log, clock, shards=shards).check("citizen-g1")
    assert (check.faults, check.entries, check.without_shard) == ([], 2, 1)
