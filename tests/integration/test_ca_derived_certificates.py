"""What is derived from a certificate: for whom, how long, and that it follows its origin, whatever dies when."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto.keys import ECPointBitString
from asn1crypto.x509 import Certificate as Asn1Certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from ca_core.audit import AuditEvent, AuditUnavailable
from ca_core.issuance import (
    CertificateStore,
    IssuanceRequest,
    IssuanceService,
    IssuedCertificate,
    KeyBlocked,
)
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.errors import IssuanceRefused, OriginRefused, RequestMalformed
from ca_core.issuance.model import LintMode
from ca_core.issuance.origins import MAX_DERIVED
from ca_core.kernel.database import Database, Statement, Transaction
from ca_core.kernel.second_place import Record
from ca_core.keys.model import key_digest
from ca_core.profiles import ProfileError, load_profiles
from ca_core.revocation import Change, ChangeCommand, RevocationReason, StatusChange
from ca_core.revocation.errors import AlreadyRevoked, AlreadySuspended, OriginNotGood
from support.derived import ACTOR, HOLD, LOG, Died, derived_request, history, scope
from support.fakes import START, FakeClock, SeededRng
from support.moving_in import moving_in
from support.pki import World, certification_request, citizen_request, make_world, new_key
from support.postgresql import somebody_waits

DERIVED = ("derived-hardware-statement", "derived-software-statement", "passkey", "phone-signature")
COUNT = Statement(text("SELECT count(*) FROM issuance_intents"))


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return make_world(database, clock, rng, also=DERIVED)


def intents(database: Database) -> int:
    with database.read() as tx:
        row = tx.one_or_none(COUNT)
    assert row is not None
    return int(row[0])


# For whom, how long


@pytest.mark.parametrize("lint", LintMode)
def test_it_does_not_outlive_its_origin(world: World, clock: FakeClock, lint: LintMode) -> None:
    origin = world.issuance.issue(citizen_request())
    ends = origin.certificate.not_valid_after_utc
    young, old = (derived_request(origin, number, DERIVED[number % 4]) for number in (1, 2))
    (first,) = world.issuance.issue_many([young], lint=lint)
    clock.now = ends - timedelta(days=300)
    (second,) = world.issuance.issue_many([old], lint=lint)
    assert isinstance(first, IssuedCertificate)
    assert isinstance(second, IssuedCertificate)
    assert first.certificate.not_valid_after_utc < ends
    assert second.certificate.not_valid_after_utc == ends
    assert (first.derived_from, second.derived_from) == (origin.certificate_id, origin.certificate_id)
    with world.database.read() as tx:
        assert CertificateStore().by_id(tx, second.certificate_id) == second


def test_from_what_nothing_is_derived(world: World, clock: FakeClock) -> None:
    origin = world.issuance.issue(citizen_request())
    encryption = world.issuance.issue(citizen_request("encryption", profile="citizen-encryption"))
    passkey = world.issuance.issue(derived_request(origin))
    ended = [world.issuance.issue(citizen_request(f"ended-{number}")) for number in range(2)]
    world.revocation.suspend(ended[0].authority_id, ended[0].serial, ACTOR)
    world.revocation.revoke(ended[1].authority_id, ended[1].serial, RevocationReason.SUPERSEDED, ACTOR)
    before = intents(world.database)
    refused = {
        "not there": derived_request(10_000, 2),
        "another person's": derived_request(origin, 2, person_id="person-2"),
        "of a profile for nothing": derived_request(encryption, 2),
        "derived itself": derived_request(passkey, 2),
        "suspended": derived_request(ended[0], 2),
        "revoked": derived_request(ended[1], 2),
    }
    for name, request in refused.items():
        with pytest.raises(OriginRefused):
            world.issuance.issue(request)
        assert intents(world.database) == before, name
    clock.now = origin.certificate.not_valid_after_utc
    with pytest.raises(IssuanceRefused):
        world.issuance.issue(derived_request(origin, 2))
    assert intents(world.database) == before


def test_an_origin_is_named_where_the_profile_wants_one_and_nowhere_else(world: World) -> None:
    origin = world.issuance.issue(citizen_request())
    for request in (
        citizen_request("without", profile="passkey"),
        citizen_request("with", derived_from=origin.certificate_id),
    ):
        with pytest.raises((RequestMalformed, OriginRefused)):
            world.issuance.issue(request)


def test_the_same_request_names_the_same_origin(world: World) -> None:
    origin, other = (world.issuance.issue(citizen_request(f"origin-{number}")) for number in range(2))
    key = new_key()
    issued = world.issuance.issue(derived_request(origin, key=key))
    assert world.issuance.issue(derived_request(origin, key=key)) == issued
    with pytest.raises(IssuanceRefused, match="derived-1"):
        world.issuance.issue(derived_request(other, key=key))


def test_so_much_and_no_more_is_derived_from_one(world: World) -> None:
    origin = world.issuance.issue(citizen_request())
    wanted = [derived_request(origin, number) for number in range(MAX_DERIVED)]
    outcomes = world.issuance.issue_many(wanted, lint=LintMode.TEMPLATE)
    assert all(isinstance(outcome, IssuedCertificate) for outcome in outcomes)
    with pytest.raises(OriginRefused, match="too much"):
        world.issuance.issue(derived_request(origin, MAX_DERIVED))
    world.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR)
    with world.database.read() as tx:
        assert LOG.head(tx) == 1 + MAX_DERIVED


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('derived_from = ["citizen-authentication"', 'derived_from = ["passkey"'),
        ('derived_from = ["citizen-authentication"', 'derived_from = ["no-such"'),
        ('derived_from = ["citizen-authentication"', 'derived_from = ["internal-tls"'),
    ],
)
def test_a_profile_that_is_derived_from_no_citizens_is_refused(tmp_path: Path, wrong: str, right: str) -> None:
    data = Path(load_profiles.__code__.co_filename).parent / "data"
    for file in data.glob("*.toml"):
        content = file.read_text("utf-8")
        if file.name == "passkey.toml":
            assert wrong in content
            content = content.replace(wrong, right)
        (tmp_path / file.name).write_text(content, "utf-8")
    with pytest.raises(ProfileError, match=r"passkey\.toml: derived_from"):
        load_profiles(tmp_path)


# It follows


def test_it_is_suspended_resumed_and_revoked_with_its_origin(world: World, database: Database) -> None:
    origin, other = (world.issuance.issue(citizen_request(f"origin-{number}")) for number in range(2))
    mine = [world.issuance.issue(derived_request(origin, number, DERIVED[number])) for number in range(4)]
    others = world.issuance.issue(derived_request(other, 9))
    name = (origin.authority_id, origin.serial)
    world.revocation.suspend(*name, ACTOR)
    world.revocation.resume(*name, ACTOR)
    world.revocation.revoke(*name, RevocationReason.SUPERSEDED, ACTOR)
    for one in mine:
        assert history(database, one) == [
            (Change.SUSPEND, HOLD, True),
            (Change.RESUME, RevocationReason.REMOVE_FROM_CRL, True),
            (Change.REVOKE, RevocationReason.SUPERSEDED, True),
        ]
    assert [by_origin for _, _, by_origin in history(database, origin)] == [False] * 3
    assert history(database, others) == []


def test_a_resumption_takes_back_only_what_the_suspension_took_along(
    world: World, database: Database, clock: FakeClock
) -> None:
    origin = world.issuance.issue(citizen_request())
    lost, followed, ended, lost_meanwhile = (
        world.issuance.issue(derived_request(origin, number)) for number in range(4)
    )
    world.revocation.suspend(lost.authority_id, lost.serial, ACTOR)
    world.revocation.revoke(ended.authority_id, ended.serial, RevocationReason.SUPERSEDED, ACTOR)
    world.revocation.suspend(origin.authority_id, origin.serial, ACTOR)
    clock.advance(60)
    world.revocation.suspend(lost_meanwhile.authority_id, lost_meanwhile.serial, ACTOR)
    with pytest.raises(AlreadySuspended):
        world.revocation.suspend(lost_meanwhile.authority_id, lost_meanwhile.serial, ACTOR)
    world.revocation.resume(origin.authority_id, origin.serial, ACTOR)
    latest = [history(database, one)[-1] for one in (lost, followed, ended, lost_meanwhile)]
    assert [change for change, _, _ in latest] == [Change.SUSPEND, Change.RESUME, Change.REVOKE, Change.SUSPEND]
    assert len(history(database, lost)) == len(history(database, ended)) == 1
    assert history(database, lost_meanwhile) == [(Change.SUSPEND, HOLD, True), (Change.SUSPEND, HOLD, False)]
    with database.read() as tx:
        first, second = LOG.history(tx, lost_meanwhile.certificate_id)
        (size,) = LOG.measure(tx, scope(lost_meanwhile.authority_id, LOG.head(tx)))
    assert first.at == second.at
    assert size.entries == 3, "lost, ended, and once what was lost meanwhile"
    world.revocation.resume(lost_meanwhile.authority_id, lost_meanwhile.serial, ACTOR)


@pytest.mark.parametrize("change", [Change.SUSPEND, Change.REVOKE])
def test_it_is_not_resumed_while_its_origin_is_not_good(world: World, database: Database, change: Change) -> None:
    origin = world.issuance.issue(citizen_request())
    followed, lost = (world.issuance.issue(derived_request(origin, number)) for number in range(2))
    world.revocation.suspend(lost.authority_id, lost.serial, ACTOR)
    world.revocation.suspend(origin.authority_id, origin.serial, ACTOR)
    if change is Change.REVOKE:
        world.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR)
    before = [history(database, one) for one in (followed, lost)]
    for one in (followed, lost):
        with pytest.raises(OriginNotGood if change is Change.SUSPEND else AlreadyRevoked):
            world.revocation.resume(one.authority_id, one.serial, ACTOR)
    assert [history(database, one) for one in (followed, lost)] == before


def test_a_compromised_key_is_its_own_certificates_and_is_never_certified_again(
    world: World, database: Database
) -> None:
    key = new_key()
    origin = world.issuance.issue(citizen_request(key=key))
    derived = world.issuance.issue(derived_request(origin))
    since = origin.certificate.not_valid_before_utc
    reason = RevocationReason.KEY_COMPROMISE
    world.revocation.revoke(origin.authority_id, origin.serial, reason, ACTOR, since)
    assert history(database, origin) == [(Change.REVOKE, reason, False)]
    assert history(database, derived) == [(Change.REVOKE, RevocationReason.PRIVILEGE_WITHDRAWN, True)]
    with database.read() as tx:
        (change,) = LOG.history(tx, derived.certificate_id)
    assert change.invalidity_date == since
    with pytest.raises(KeyBlocked):
        world.issuance.issue(citizen_request("again", key=key))


def test_a_responders_compromised_key_is_not_certified_again(world: World) -> None:
    key = new_key()

    def request(number: int) -> IssuanceRequest:
        return IssuanceRequest(
            request_id=f"responder-{number}",
            profile="ocsp-responder",
            authority="citizen-g1",
            public_key=key.public_key(),
            actor="system:va",
            common_name="OCSP Responder",
            csr=certification_request(key),
        )

    first, second = (world.issuance.issue(request(number)) for number in range(2))
    world.revocation.revoke(first.authority_id, first.serial, RevocationReason.SUPERSEDED, ACTOR)
    world.revocation.revoke(second.authority_id, second.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    with pytest.raises(KeyBlocked):
        world.issuance.issue(request(2))


def test_all_of_it_or_nothing(world: World, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = world.issuance.issue(citizen_request())
    mine = [world.issuance.issue(derived_request(origin, number)) for number in range(2)]
    append, told = world.audit.append, []

    def full(tx: Transaction, event: AuditEvent) -> None:
        told.append(event.name)
        if len(told) == 3:
            raise AuditUnavailable("away")
        append(tx, event)

    monkeypatch.setattr(world.audit, "append", full)
    with pytest.raises(AuditUnavailable):
        world.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR)
    assert [history(database, one) for one in (origin, *mine)] == [[], [], []]


def test_a_card_that_is_changed_as_a_whole_counts_what_followed(world: World) -> None:
    origin = world.issuance.issue(citizen_request())
    derived = world.issuance.issue(derived_request(origin))
    outcomes = world.revocation.change_together(
        [
            ChangeCommand(
                authority_id=one.authority_id, serial=one.serial, change=Change.SUSPEND, reason=HOLD, actor=ACTOR
            )
            for one in (origin, derived)
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [StatusChange, StatusChange]
    with world.database.read() as tx:
        assert LOG.head(tx) == 2
    world.revocation.resume(origin.authority_id, origin.serial, ACTOR)
    assert history(world.database, derived)[-1][0] is Change.RESUME


LISTED = [
    (x509.ReasonFlags.certificate_hold, Change.SUSPEND, HOLD),
    (x509.ReasonFlags.superseded, Change.REVOKE, RevocationReason.SUPERSEDED),
    (x509.ReasonFlags.key_compromise, Change.REVOKE, RevocationReason.PRIVILEGE_WITHDRAWN),
]


@pytest.mark.parametrize(("listed", "change", "reason"), LISTED)
def test_it_follows_a_list_that_moves_in(
    world: World,
    database: Database,
    clock: FakeClock,
    tmp_path: Path,
    listed: x509.ReasonFlags,
    change: Change,
    reason: RevocationReason,
) -> None:
    """An imported card is an origin too, and its old house's last list comes after it."""
    key = new_key()
    origin = world.issuance.issue(citizen_request(key=key))
    followed, lost = (world.issuance.issue(derived_request(origin, number)) for number in range(2))
    at = clock.now
    clock.advance(3_600)
    world.revocation.suspend(lost.authority_id, lost.serial, ACTOR)
    moving = moving_in(database, clock, SeededRng(7))
    for number, listed_reason in enumerate((listed, x509.ReasonFlags.remove_from_crl)):
        path = tmp_path / f"{number}.crl"
        path.write_bytes(crl_of(world, origin, at, listed_reason, number))
        if number == 0 or change is Change.SUSPEND:
            moving.import_crl(path, "citizen-g1", actor=ACTOR)
        if number == 0:
            assert history(database, followed) == [(change, reason, True)]
            assert history(database, lost)[-1][:2] == (change, reason)
    if change is Change.SUSPEND:
        assert [history(database, one)[-1][0] for one in (followed, lost)] == [Change.RESUME, Change.SUSPEND]
    if listed is x509.ReasonFlags.key_compromise:
        with pytest.raises(KeyBlocked):
            world.issuance.issue(citizen_request("again", key=key))
    with database.read() as tx:
        assert [one.sequence for one in LOG.changes_after(tx, 0)] == list(range(1, LOG.head(tx) + 1))


def crl_of(world: World, issued: IssuedCertificate, at: datetime, reason: x509.ReasonFlags, number: int) -> bytes:
    """A list of the authority's with that entry."""
    authority = world.registry.by_slug("citizen-g1")
    entry = x509.RevokedCertificateBuilder().serial_number(issued.serial).revocation_date(at)
    key = world.key_store.private_key(authority.key_label)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    now = world.issuance._clock()
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=1))
        .add_extension(x509.CRLNumber(1 + number), critical=False)
        .add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def test_a_key_in_other_octets_is_the_same_key(database: Database) -> None:
    """An old certificate names its curve's point compressed: the register knows keys as they are written here."""
    key = new_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    parsed = Asn1Certificate.load(certificate.public_bytes(Encoding.DER))
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    parsed["tbs_certificate"]["subject_public_key_info"]["public_key"] = ECPointBitString(point)
    old = x509.load_der_x509_certificate(parsed.dump(force=True))
    assert old.public_bytes(Encoding.DER) != certificate.public_bytes(Encoding.DER)
    store = CertificateStore()
    with database.write() as tx:
        record = store.block_key_of(tx, old, reason="keyCompromise", actor=ACTOR, now=START)
        assert record is not None
        assert record["key_digest"] == key_digest(key.public_key())
        assert store.block_key_of(tx, certificate, reason="keyCompromise", actor=ACTOR, now=START) is None


# Between the two


@pytest.mark.parametrize("change", [Change.REVOKE, Change.SUSPEND])
def test_what_was_under_way_when_its_origin_ended_is_recorded_so(
    database: Database, clock: FakeClock, rng: SeededRng, change: Change
) -> None:
    """The process that derived it died with the intent recorded; meanwhile the origin was revoked or suspended."""
    dies = [False]

    def checkpoint(step: Step) -> None:
        if dies[0] and step is Step.INTENT_RECORDED:
            raise Died

    world = make_world(database, clock, rng, also=DERIVED, checkpoint=checkpoint)
    origin = world.issuance.issue(citizen_request())
    dies[0] = True
    with pytest.raises(Died):
        world.issuance.issue(derived_request(origin))
    dies[0] = False
    if change is Change.REVOKE:
        world.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    else:
        world.revocation.suspend(origin.authority_id, origin.serial, ACTOR)
    (issued,) = world.issuance.recover().recovered
    reason = RevocationReason.PRIVILEGE_WITHDRAWN if change is Change.REVOKE else HOLD
    assert history(database, issued) == [(change, reason, True)]
    if change is Change.SUSPEND:
        world.revocation.resume(origin.authority_id, origin.serial, ACTOR)
        assert history(database, issued)[-1][0] is Change.RESUME


def test_none_stays_good_whoever_is_faster(world: World, database: Database) -> None:
    """Derivations and the revocation of their origin at once, ten times over."""
    for turn in range(10):
        origin = world.issuance.issue(citizen_request(f"origin-{turn}"))
        wanted = [derived_request(origin, turn * 10 + number) for number in range(4)]
        with ThreadPoolExecutor(5) as pool:
            issuing = [pool.submit(world.issuance.issue, request) for request in wanted]
            pool.submit(
                world.revocation.revoke, origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR
            ).result()
            for one in issuing:
                if one.exception() is None:
                    one.result()
        with database.read() as tx:
            made = CertificateStore().derived_from(tx, origin.certificate_id)
        assert all(history(database, one)[-1][0] is Change.REVOKE for one in made)
        for one in issuing:
            assert one.exception() is None or isinstance(one.exception(), OriginRefused)


class Slow:
    """A second place that is told of a certificate last, and then waits: the transaction has read all that it reads."""

    def __init__(self) -> None:
        self.is_asked, self.go_on = threading.Event(), threading.Event()

    def append(self, records: Sequence[Record]) -> None:
        if any(record["kind"] == "certificate" for record in records):
            self.is_asked.set()
            self.go_on.wait(10)


def test_a_revocation_does_not_pass_by_what_is_being_recorded(
    postgresql_database_url: str, clock: FakeClock, rng: SeededRng
) -> None:
    database = Database.open(postgresql_database_url)
    world, place = make_world(database, clock, rng, also=DERIVED), Slow()
    origin = world.issuance.issue(citizen_request())
    issuance = IssuanceService(
        database=database,
        registry=world.registry,
        key_store=world.key_store,
        profiles=world.profiles,
        audit=world.audit,
        publication_url=world.publication_url,
        clock=clock,
        rng=rng,
        second_place=place,
        revocation=world.revocation,
    )
    with ThreadPoolExecutor(2) as pool:
        deriving = pool.submit(issuance.issue, derived_request(origin))
        assert place.is_asked.wait(10)
        revoking = pool.submit(
            world.revocation.revoke, origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR
        )
        while not (revoking.done() or somebody_waits(database)):
            threading.Event().wait(0.005)
        place.go_on.set()
        derived = deriving.result(timeout=30)
        revoking.result(timeout=30)
    assert history(database, derived) == [(Change.REVOKE, RevocationReason.SUPERSEDED, True)]
    database.dispose()
