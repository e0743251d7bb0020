"""Validation on both databases: each refusal its own class, in the order that is promised, and nothing ever written."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import func, select

import ca_core.audit.store as audit_store
from ca_core.audit import AuditLog
from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Database, Statement, Transaction
from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CertificateState, StatusService
from ca_core.validation import (
    CertificateExpired,
    CertificateMalformed,
    CertificateNotYetValid,
    CertificateRefused,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUnknown,
    CertificateUnknownIssuer,
    CertificateValidator,
    CertificateWrongProfile,
    Purpose,
)
from support.fakes import FakeClock, SeededRng
from support.small_pki import CITIZEN_CA_NAME, SmallPki, der_of, new_key

ACTOR = "operator:7"
EVENTS = Statement(select(func.count()).select_from(audit_store.events))


@dataclass
class World:
    database: Database
    clock: FakeClock
    pki: SmallPki
    revocations: RevocationService
    validator: CertificateValidator

    def refusal(self, der: bytes) -> type[CertificateRefused]:
        """Why it is refused; that nothing was written goes without saying, and is checked."""
        before = self.written()
        with pytest.raises(CertificateRefused) as caught:
            self.validator.verify(der, Purpose.LOGIN)
        assert self.written() == before
        assert caught.value.code != CertificateRefused.code
        return type(caught.value)

    def written(self) -> tuple[int, int]:
        with self.database.read() as tx:
            count = tx.one_or_none(EVENTS)
            assert count is not None
            return StatusLog().head(tx), count[0]


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    pki = SmallPki()
    return World(
        database=database,
        clock=clock,
        pki=pki,
        revocations=RevocationService(database, pki.certificates, AuditLog(clock, rng), clock),
        validator=validator_of(database, pki, clock),
    )


def validator_of(
    database: Database, pki: SmallPki, clock: FakeClock, roots: list[x509.Certificate] | None = None
) -> CertificateValidator:
    return CertificateValidator(
        database,
        pki.authorities,
        pki.certificates,
        StatusService(StatusLog()),
        clock,
        roots=[pki.root.certificate] if roots is None else roots,
    )


@pytest.mark.parametrize("profile", ["citizen-authentication", "citizen-legacy-signature"])
def test_a_citizens_certificate_passes(world: World, profile: str) -> None:
    issued = world.pki.issue(world.pki.g3, profile)
    validated = world.validator.verify(der_of(issued), Purpose.LOGIN)
    assert validated.certificate_id == issued.certificate_id
    assert (validated.authority_id, validated.serial) == (world.pki.g3.id, issued.serial)
    assert (validated.person_id, validated.card_number) == (issued.person_id, issued.card_number)
    assert (validated.profile, validated.not_after) == (profile, issued.certificate.not_valid_after_utc)
    assert (validated.status_source, validated.status_age_s) == ("database", 0)
    assert validated.public_key.public_numbers() == issued.certificate.public_key().public_numbers()  # type: ignore[union-attr]  # EC
    assert world.validator.status_of(issued.certificate_id).state is CertificateState.GOOD


@pytest.mark.parametrize(
    "profile",
    [
        "citizen-signature",
        "citizen-encryption",
        "citizen-legacy-encryption",
        "ocsp-responder",
        "internal-tls",
    ],
)
def test_no_other_profile_logs_in(world: World, profile: str) -> None:
    assert world.refusal(der_of(world.pki.issue(world.pki.g3, profile))) is CertificateWrongProfile


def test_a_cas_certificate_does_not_log_in(world: World) -> None:
    for authority in world.pki.authorities.all():
        der = authority.certificate.public_bytes(Encoding.DER)
        assert world.refusal(der) in (CertificateWrongProfile, CertificateUnknownIssuer)
    posing = world.pki.issue(world.pki.g3, extra=((x509.BasicConstraints(True, None), True),))
    assert world.refusal(der_of(posing)) is CertificateWrongProfile


@pytest.mark.parametrize("recorded", ["citizen-signature", "internal-tls"])
def test_what_it_was_recorded_as_counts_too(world: World, recorded: str) -> None:
    issued = world.pki.issue(world.pki.g3, "citizen-authentication", recorded_profile=recorded)
    assert world.refusal(der_of(issued)) is CertificateWrongProfile


def test_a_second_key_purpose_or_policy_of_ours_is_refused(world: World) -> None:
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    legacy = world.pki.issue(world.pki.g3, "citizen-legacy-signature", extra=((server, False),))
    assert world.refusal(der_of(legacy)) is CertificateWrongProfile


def test_a_critical_extension_that_nobody_knows_is_refused(world: World) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert world.refusal(der_of(world.pki.issue(world.pki.g3, extra=((strange, True),)))) is CertificateUnknownIssuer
    world.validator.verify(der_of(world.pki.issue(world.pki.g3, extra=((strange, False),))), Purpose.LOGIN)


def test_validity_in_taipeis_terms(world: World) -> None:
    ends = world.clock.now.replace(microsecond=0) + timedelta(days=10)
    issued = world.pki.issue(world.pki.g3, not_before=world.clock.now + timedelta(seconds=5), not_after=ends)
    assert world.refusal(der_of(issued)) is CertificateNotYetValid
    world.clock.advance(5)
    world.validator.verify(der_of(issued), Purpose.LOGIN)
    world.clock.set(ends + timedelta(microseconds=999_999))
    world.validator.verify(der_of(issued), Purpose.LOGIN)
    world.clock.set(ends + timedelta(seconds=1))
    assert world.refusal(der_of(issued)) is CertificateExpired


def test_suspended_resumed_revoked(world: World) -> None:
    issued = world.pki.issue(world.pki.g3)
    name = (issued.authority_id, issued.serial)
    world.revocations.suspend(*name, ACTOR)
    assert world.refusal(der_of(issued)) is CertificateSuspended
    assert world.validator.status_of(issued.certificate_id).state is CertificateState.SUSPENDED
    world.revocations.resume(*name, ACTOR)
    world.validator.verify(der_of(issued), Purpose.LOGIN)
    world.revocations.revoke(*name, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert world.refusal(der_of(issued)) is CertificateRevoked
    status = world.validator.status_of(issued.certificate_id)
    assert (status.state, status.reason) == (CertificateState.REVOKED, RevocationReason.KEY_COMPROMISE)


def test_two_generations_with_one_name_and_equal_serials(world: World) -> None:
    in_g3 = world.pki.issue(world.pki.g3)
    in_g2 = world.pki.issue(world.pki.g2, serial=in_g3.serial)
    world.revocations.revoke(world.pki.g2.id, in_g2.serial, RevocationReason.SUPERSEDED, ACTOR)
    assert world.validator.verify(der_of(in_g3), Purpose.LOGIN).authority_id == world.pki.g3.id
    assert world.refusal(der_of(in_g2)) is CertificateRevoked


def test_another_ca_with_the_very_same_name_is_unknown(world: World) -> None:
    stranger = SmallPki()
    issued = stranger.issue(stranger.g3)
    world.pki.certificates.kept[world.pki.g3.id, issued.serial] = issued
    assert stranger.g3.certificate.subject == CITIZEN_CA_NAME
    assert world.refusal(der_of(issued)) is CertificateUnknownIssuer


def test_another_ca_that_also_claims_the_key_identifier_is_unknown(world: World) -> None:
    forged = world.pki.issue(world.pki.g3, signer=new_key())
    assert world.refusal(der_of(forged)) is CertificateUnknownIssuer


def test_no_authority_key_identifier_is_unknown(world: World) -> None:
    issued = world.pki.issue(world.pki.g3)
    key = world.pki.keys.private_key("citizen-g3")
    bare = x509.CertificateBuilder(
        issuer_name=issued.certificate.issuer,
        subject_name=issued.certificate.subject,
        public_key=issued.certificate.public_key(),
        serial_number=issued.serial,
        not_valid_before=issued.certificate.not_valid_before_utc.replace(tzinfo=None),
        not_valid_after=issued.certificate.not_valid_after_utc.replace(tzinfo=None),
    ).sign(key, hashes.SHA256())
    assert world.refusal(bare.public_bytes(Encoding.DER)) is CertificateUnknownIssuer


def test_signed_by_us_and_never_recorded(world: World) -> None:
    assert world.refusal(der_of(world.pki.issue(world.pki.g3, record=False))) is CertificateUnknown
    recorded = world.pki.issue(world.pki.g3)
    twin = world.pki.issue(world.pki.g3, serial=recorded.serial, record=False)
    assert world.refusal(der_of(twin)) is CertificateUnknown


def test_not_one_octet_may_differ_from_the_record(world: World) -> None:
    """Also where no signature covers it, and whatever a library makes of it."""
    der = der_of(world.pki.issue(world.pki.g3))
    passed = []
    for place in range(len(der)):
        changed = der[:place] + bytes([der[place] ^ 0x01]) + der[place + 1 :]
        try:
            world.validator.verify(changed, Purpose.LOGIN)
        except CertificateRefused:
            continue
        passed.append(place)
    assert passed == []


def test_the_order_of_the_refusals(world: World) -> None:
    """A certificate with every fault shows the first; each one mended shows the next."""
    pki, long_ago = world.pki, world.clock.now - timedelta(days=20)
    stranger = SmallPki()
    end = {"not_before": long_ago, "not_after": world.clock.now - timedelta(days=1)}
    assert world.refusal(der_of(stranger.issue(stranger.g3, "citizen-signature", **end))) is CertificateUnknownIssuer  # type: ignore[arg-type]  # dates
    expired = pki.issue(pki.g3, "citizen-signature", record=False, **end)  # type: ignore[arg-type]  # dates
    assert world.refusal(der_of(expired)) is CertificateExpired
    assert world.refusal(der_of(pki.issue(pki.g3, "citizen-signature", record=False))) is CertificateWrongProfile
    assert world.refusal(der_of(pki.issue(pki.g3, record=False))) is CertificateUnknown
    issued = pki.issue(pki.g3)
    world.revocations.revoke(pki.g3.id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    assert world.refusal(der_of(issued)) is CertificateRevoked


def test_garbage_is_malformed(world: World) -> None:
    der = der_of(world.pki.issue(world.pki.g3))
    for octets in (b"", b"\x30", der[:-1], der + b"\x00", b"-----BEGIN CERTIFICATE-----", bytes(8_193), der * 20):
        assert world.refusal(octets) is CertificateMalformed


@pytest.mark.parametrize("curve", [ec.SECP521R1(), ec.SECP256K1()])
def test_a_key_that_nothing_here_certifies_is_malformed(world: World, curve: ec.EllipticCurve) -> None:
    issued = world.pki.issue(world.pki.g3, key=ec.generate_private_key(curve))
    assert world.refusal(der_of(issued)) is CertificateMalformed


def test_without_a_root_it_does_not_start(world: World) -> None:
    with pytest.raises(ConfigurationError):
        validator_of(world.database, world.pki, world.clock, roots=[])


def test_an_authority_in_the_database_without_a_path_to_a_configured_root(world: World) -> None:
    """Whoever can write rows can add an authority, and gains nothing by it."""
    intruder = SmallPki()
    rogue_root = world.pki.add_authority("root-g9", intruder.root.certificate.subject, parent=None)
    rogue = world.pki.add_authority("citizen-g9", CITIZEN_CA_NAME, parent=rogue_root)
    for authority in (rogue, rogue_root):
        assert world.refusal(der_of(world.pki.issue(authority))) is CertificateUnknownIssuer


@pytest.mark.parametrize(
    "fault",
    [{"is_ca": False}, {"usage": ("digital_signature", "crl_sign")}],
    ids=["not a CA", "may not sign certificates"],
)
def test_an_authority_whose_certificate_makes_it_none(world: World, fault: dict[str, object]) -> None:
    weak = world.pki.add_authority("citizen-g9", CITIZEN_CA_NAME, parent=world.pki.root, **fault)  # type: ignore[arg-type]  # one of the parameters above
    assert world.refusal(der_of(world.pki.issue(weak))) is CertificateUnknownIssuer


def test_an_authority_below_one_that_may_have_none(world: World) -> None:
    below = world.pki.add_authority("citizen-g9", CITIZEN_CA_NAME, parent=world.pki.g3)
    assert world.refusal(der_of(world.pki.issue(below))) is CertificateUnknownIssuer


def test_an_authority_that_was_revoked(world: World) -> None:
    issued = world.pki.issue(world.pki.g3)
    other = world.pki.issue(world.pki.g2)
    world.validator.verify(der_of(issued), Purpose.LOGIN)
    record_authority(world.pki, world.pki.g3)
    world.revocations.revoke(
        world.pki.root.id, world.pki.g3.certificate.serial_number, RevocationReason.CA_COMPROMISE, ACTOR
    )
    assert world.refusal(der_of(issued)) is CertificateUnknownIssuer
    world.validator.verify(der_of(other), Purpose.LOGIN)


def record_authority(pki: SmallPki, authority: Authority) -> None:
    serial = authority.certificate.serial_number
    pki.certificates.kept[pki.root.id, serial] = IssuedCertificate(
        certificate_id=authority.certificate_id,
        authority_id=pki.root.id,
        serial=serial,
        certificate=authority.certificate,
        profile="issuing-ca",
        person_id=None,
        card_number=None,
    )


def test_an_authority_that_expired_or_whose_root_did(world: World) -> None:
    soon = world.clock.now + timedelta(days=2)
    short = world.pki.add_authority("citizen-g9", CITIZEN_CA_NAME, parent=world.pki.root, not_after=soon)
    issued = world.pki.issue(short)
    world.validator.verify(der_of(issued), Purpose.LOGIN)
    world.clock.set(soon + timedelta(days=1))
    assert world.refusal(der_of(issued)) is CertificateUnknownIssuer


def test_the_database_away_is_not_a_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = world.pki.issue(world.pki.g3)
    world.validator.verify(der_of(issued), Purpose.LOGIN)

    @contextmanager
    def away(_: Database) -> Iterator[Transaction]:
        raise Unavailable("gone")
        yield

    monkeypatch.setattr(Database, "read", away)
    with pytest.raises(Unavailable):
        world.validator.verify(der_of(issued), Purpose.LOGIN)


def test_a_login_costs_well_under_a_millisecond_of_cpu(world: World) -> None:
    """Prints the figure; the bound is ten times what it takes, so that it says only that nothing went badly wrong."""
    der = der_of(world.pki.issue(world.pki.g3))
    world.validator.verify(der, Purpose.LOGIN)
    begun = time.process_time()
    for _ in range(200):
        world.validator.verify(der, Purpose.LOGIN)
    each_ms = (time.process_time() - begun) * 1000 / 200
    print(f"validation on {world.database.dialect_name}: {each_ms:.3f} ms of CPU")
    assert each_ms < 3
