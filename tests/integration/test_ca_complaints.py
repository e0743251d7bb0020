"""What users of other authorities complain of, where no other test says that it cannot happen here."""

from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPCertStatus

from ca_core.crl_shards import ShardLayouts
from ca_core.issuance.model import IssuedCertificate, LintMode
from ca_core.kernel.database import Database
from ca_core.revocation import RevocationReason
from ca_core.status import CrlService, OcspResponder, OcspSettings
from ca_core.status.model import CrlSettings
from support.distribution import first_uri
from support.fakes import FakeClock, SeededRng
from support.pki import PUBLICATION_URL, citizen_request
from support.whole_ca import ACTOR, SLUG, WholeCa, failing_from


@pytest.fixture
def ca(database: Database, clock: FakeClock, rng: SeededRng) -> WholeCa:
    return WholeCa(database, clock, rng)


def issue_many(ca: WholeCa, count: int, *, prefix: str = "r") -> list[IssuedCertificate]:
    requests = [citizen_request(f"{prefix}{number}", card_number=f"{number:016d}") for number in range(count)]
    outcomes = ca.world.issuance.issue_many(requests, lint=LintMode.TEMPLATE)
    assert all(isinstance(outcome, IssuedCertificate) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, IssuedCertificate)]


def revoke(ca: WholeCa, issued: IssuedCertificate) -> int:
    """How many statements it took."""
    with failing_from(10_000) as run:
        ca.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    return run[0]


def test_a_revocation_makes_no_list_and_costs_the_same_however_many_there_are(ca: WholeCa) -> None:
    """vault #9176: the CRL rebuilt on each revocation."""
    several = issue_many(ca, 300)
    ca.crls.publish_due()
    lists, chunks, signatures = ca.rows("crls"), ca.rows("crl_chunks"), ca.keys.signatures
    costs = [revoke(ca, issued) for issued in several][1:]  # the first makes the log's head
    assert len(set(costs)) == 1
    assert (ca.rows("crls"), ca.rows("crl_chunks"), ca.keys.signatures) == (lists, chunks, signatures)
    ca.clock.advance(1)
    assert ca.ask(ca.ocsp, several[-1]).certificate_status is OCSPCertStatus.REVOKED  # and it counts at once


@pytest.mark.parametrize("shards", [0, 1, 7])
@pytest.mark.parametrize(
    "settings",
    [
        CrlSettings(),
        CrlSettings(validity=timedelta(minutes=1), interval=timedelta(seconds=30)),
        CrlSettings(validity=timedelta(days=3_000), interval=timedelta(days=2_999)),
        CrlSettings(delta_validity=timedelta(seconds=1), delta_interval=timedelta(seconds=1)),
    ],
    ids=["default", "short", "long", "hasty-deltas"],
)
def test_no_setting_takes_an_entry_off_a_list(ca: WholeCa, settings: CrlSettings, shards: int) -> None:
    """boulder #6438: a configuration value that dropped 90 % of the revoked entries."""
    layouts = ShardLayouts(ca.database, ca.audit, ca.clock)
    if shards:
        layouts.introduce(ca.authority.id, SLUG, count=shards, publication_url=PUBLICATION_URL, actor=ACTOR)
    ca.world.issuance._crl_shards = layouts
    crls = CrlService(
        ca.database,
        ca.registry,
        ca.keys,
        ca.log,
        ca.audit,
        ca.clock,
        settings,
        publication_url=PUBLICATION_URL,
        shards=layouts,
    )
    several = issue_many(ca, 30)
    revoked: set[int] = set()
    for number, issued in enumerate(several):
        revoke(ca, issued)
        revoked.add(issued.serial)
        if number % 10 == 9:
            ca.clock.advance(number * 86_400)
            assert crls.publish(SLUG).entries == len(revoked)
    assert serials(ca.archive.latest(SLUG)) == revoked
    assert set().union(*(serials(ca.archive.latest_shard(SLUG, number)) for number in range(shards))) == (
        revoked if shards else set()
    )


def serials(der: bytes | None) -> set[int]:
    assert der is not None
    return {entry.serial_number for entry in x509.load_der_x509_crl(der)}


def test_any_node_renews_what_another_left_to_grow_old(ca: WholeCa) -> None:
    """dogtag #5015: nextUpdate stuck in the past on one node."""
    first = [CrlService(ca.database, ca.registry, ca.keys, ca.log, ca.audit, ca.clock) for _ in range(2)]
    first[0].publish_due()
    for day in range(1, 5):
        ca.clock.advance(86_400)
        first[day % 2].publish_due()
        for node in first:
            der = node.latest(SLUG)
            assert der is not None
            following = x509.load_der_x509_crl(der).next_update_utc
            assert following is not None and following > ca.clock.now


@pytest.mark.parametrize("presign", [True, False])
def test_every_good_answer_proves_issuance_whatever_way_it_was_made(ca: WholeCa, presign: bool) -> None:
    """ejbca-ce #1049: proof of issuance (certHash) lost from OCSP."""

    def node() -> OcspResponder:
        return OcspResponder(
            ca.database,
            ca.registry,
            ca.store,
            ca.status,
            ca.log,
            ca.ocsp_responders,
            ca.clock,
            OcspSettings(presign=presign),
        )

    several = issue_many(ca, 3)
    first = node()
    for turn in range(4):
        for asked in (first, node()):
            for issued in several:
                for nonce in (None, b"n" * 32):
                    proof = sha256(issued.certificate.public_bytes(Encoding.DER)).digest()
                    answered = ca.ask(asked, issued, nonce=nonce)
                    assert answered.certificate_status is OCSPCertStatus.GOOD
                    found = {one.oid.dotted_string: one.value for one in answered.single_extensions}
                    value = found["1.3.36.8.3.13"]
                    assert isinstance(value, x509.UnrecognizedExtension) and value.value.endswith(proof), turn
        first.presigned.run_once()
        ca.clock.advance(900)


def test_the_shard_of_a_certificate_never_changes(ca: WholeCa) -> None:
    """boulder PR 6445: shards whose borders move with the configuration."""
    before = {}
    for generation, count in enumerate((3, 8, 2)):
        layouts = ShardLayouts(ca.database, ca.audit, ca.clock)
        url = f"{PUBLICATION_URL}{generation}"
        layouts.introduce(ca.authority.id, SLUG, count=count, publication_url=url, actor=ACTOR)
        ca.world.issuance._crl_shards = layouts
        for issued in issue_many(ca, 6, prefix=f"g{generation}-"):
            points = issued.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
            before[issued.serial] = first_uri(points[0])
            revoke(ca, issued)
        ca.clock.advance(3_600)
    crls = CrlService(
        ca.database,
        ca.registry,
        ca.keys,
        ca.log,
        ca.audit,
        ca.clock,
        publication_url="http://elsewhere.example.tw/pki",
        shards=ShardLayouts(ca.database, ca.audit, ca.clock),
    )
    crls.publish(SLUG)
    after = {}
    for number in range(3 + 8 + 2):
        der = ca.archive.latest_shard(SLUG, number)
        assert der is not None
        shard = x509.load_der_x509_crl(der)
        point = shard.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
        for entry in shard:
            after[entry.serial_number] = first_uri(point)
    assert after == before
