"""Revocation on both databases: refusals write nothing, races have one winner, numbers have no gap."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pytest

from ca_core.audit import AuditEvent, AuditLog, AuditUnavailable
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.second_place import Record
from ca_core.revocation import (
    AlreadyRevoked,
    AlreadySuspended,
    CertificateNotFound,
    Change,
    ChangeCommand,
    InvalidityDateRefused,
    NotSuspended,
    ReasonRefused,
    RevocationError,
    RevocationReason,
    RevocationService,
    StatusChange,
    StatusLog,
)
from support.fakes import FakeClock, SeededRng
from support.small_pki import SmallPki

ACTOR = "operator:7"


@pytest.fixture(scope="module")
def pki() -> SmallPki:
    return SmallPki()


@pytest.fixture
def issued(pki: SmallPki) -> IssuedCertificate:
    return pki.issue(pki.g3)


@pytest.fixture
def audit(clock: FakeClock, rng: SeededRng) -> AuditLog:
    return AuditLog(clock, rng)


@pytest.fixture
def service(database: Database, pki: SmallPki, audit: AuditLog, clock: FakeClock) -> RevocationService:
    return RevocationService(database, pki.certificates, audit, clock)


def history(database: Database, issued: IssuedCertificate) -> list[Change]:
    with database.read() as tx:
        return [change.change for change in StatusLog().history(tx, issued.certificate_id)]


def written(database: Database, audit: AuditLog) -> tuple[int, int]:
    """How many changes and how many audit events there are."""
    with database.read() as tx:
        log = StatusLog()
        changes = log.changes_after(tx, 0)
        assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
        assert log.head(tx) == len(changes)
        return len(changes), len(audit.recent(tx))


def test_a_revocation_is_recorded_with_its_audit_event(
    database: Database, service: RevocationService, audit: AuditLog, issued: IssuedCertificate, clock: FakeClock
) -> None:
    since = clock.now - timedelta(days=3, microseconds=5)
    change = service.revoke(
        issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR, since, request_id="r-1"
    )
    with database.read() as tx:
        assert StatusLog().latest(tx, issued.certificate_id) == change
        event = audit.recent(tx)[0]
    assert change.invalidity_date == since.replace(microsecond=0)
    assert change.not_after == issued.certificate.not_valid_after_utc
    assert (event.name, event.actor, event.request_id) == ("certificate.revoked", ACTOR, "r-1")
    assert event.subject == f"certificate:{issued.certificate_id}"


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_every_reason(
    database: Database, service: RevocationService, audit: AuditLog, issued: IssuedCertificate, reason: RevocationReason
) -> None:
    if reason in (RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL):
        with pytest.raises(ReasonRefused):
            service.revoke(issued.authority_id, issued.serial, reason, ACTOR)
        assert written(database, audit) == (0, 0)
    else:
        assert service.revoke(issued.authority_id, issued.serial, reason, ACTOR).reason is reason


def test_suspended_and_resumed_and_suspended_and_revoked(
    database: Database, service: RevocationService, audit: AuditLog, issued: IssuedCertificate
) -> None:
    name = (issued.authority_id, issued.serial)
    with pytest.raises(NotSuspended):
        service.resume(*name, ACTOR)
    service.suspend(*name, ACTOR)
    with pytest.raises(AlreadySuspended):
        service.suspend(*name, ACTOR)
    service.resume(*name, ACTOR)
    with pytest.raises(NotSuspended):
        service.resume(*name, ACTOR)
    service.suspend(*name, ACTOR)
    service.revoke(*name, RevocationReason.SUPERSEDED, ACTOR)
    with pytest.raises(AlreadyRevoked):
        service.revoke(*name, RevocationReason.KEY_COMPROMISE, ACTOR)
    with pytest.raises(AlreadyRevoked):
        service.suspend(*name, ACTOR)
    with pytest.raises(AlreadyRevoked):
        service.resume(*name, ACTOR)
    assert history(database, issued) == [Change.SUSPEND, Change.RESUME, Change.SUSPEND, Change.REVOKE]
    assert written(database, audit) == (4, 4)


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), timedelta(days=400)])
def test_an_invalidity_date_in_the_future_is_refused(
    database: Database,
    service: RevocationService,
    audit: AuditLog,
    issued: IssuedCertificate,
    clock: FakeClock,
    ahead: timedelta,
) -> None:
    with pytest.raises(InvalidityDateRefused):
        service.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR, clock.now + ahead)
    naive = datetime(2020, 1, 1)  # noqa: DTZ001 - what is refused
    with pytest.raises(InvalidityDateRefused):
        service.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR, naive)
    assert written(database, audit) == (0, 0)


@pytest.mark.parametrize(
    "text", ["0202-05-05T00:00:00+00:00", "0001-01-01T00:00:00+08:00", "1949-12-31T23:59:59+00:00"]
)
def test_an_invalidity_date_before_lists_can_say_it_is_refused(
    database: Database, service: RevocationService, audit: AuditLog, issued: IssuedCertificate, text: str
) -> None:
    wanted = datetime.fromisoformat(text)
    with pytest.raises(InvalidityDateRefused):
        service.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR, wanted)
    assert written(database, audit) == (0, 0)


def test_a_revocation_dates_from_the_suspension_that_it_ends(
    service: RevocationService, pki: SmallPki, clock: FakeClock
) -> None:
    held, resumed, stepped = (pki.issue(pki.g3) for _ in range(3))
    began = [service.suspend(one.authority_id, one.serial, ACTOR).at for one in (held, resumed, stepped)]
    clock.advance(3_600)
    service.resume(resumed.authority_id, resumed.serial, ACTOR)
    clock.advance(3_600)
    revoke = partial(service.revoke, reason=RevocationReason.KEY_COMPROMISE, actor=ACTOR)
    assert revoke(held.authority_id, held.serial).at == began[0]
    assert revoke(resumed.authority_id, resumed.serial).at == clock.now
    clock.advance(-86_400)
    assert revoke(stepped.authority_id, stepped.serial).at == clock.now


def suspension(issued: IssuedCertificate) -> ChangeCommand:
    return ChangeCommand(
        authority_id=issued.authority_id,
        serial=issued.serial,
        change=Change.SUSPEND,
        reason=RevocationReason.CERTIFICATE_HOLD,
        actor=ACTOR,
    )


class Told:
    """A second place that remembers each act."""

    def __init__(self) -> None:
        self.acts: list[list[object]] = []

    def append(self, records: Sequence[Record]) -> None:
        self.acts.append([record["seq"] for record in records])


def test_what_belongs_together_changes_in_one_transaction(
    database: Database, audit: AuditLog, pki: SmallPki, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    service = RevocationService(database, pki.certificates, audit, clock, second_place=told)
    first, revoked, last = (pki.issue(pki.g3) for _ in range(3))
    service.revoke(revoked.authority_id, revoked.serial, RevocationReason.SUPERSEDED, ACTOR)
    wanted = [suspension(one) for one in (first, revoked, last)]
    append, events = audit.append, []

    def dies_at_the_second(tx: Transaction, event: AuditEvent) -> None:
        events.append(event)
        if len(events) == 2:
            raise AuditUnavailable("away")
        append(tx, event)

    with monkeypatch.context() as patch:
        patch.setattr(audit, "append", dies_at_the_second)
        with pytest.raises(AuditUnavailable):
            service.change_together(wanted)
    assert written(database, audit) == (1, 1)
    assert told.acts == [[1]]
    outcomes = service.change_together(wanted)
    assert [type(outcome) for outcome in outcomes] == [StatusChange, AlreadyRevoked, StatusChange]
    assert [history(database, one) for one in (first, last)] == [[Change.SUSPEND], [Change.SUSPEND]]
    assert written(database, audit) == (3, 3)
    assert told.acts == [[1], [2, 3]]
    again = service.change_together(wanted)
    assert [type(outcome) for outcome in again] == [AlreadySuspended, AlreadyRevoked, AlreadySuspended]
    assert written(database, audit) == (3, 3)


def test_what_was_never_issued_is_refused(
    database: Database, service: RevocationService, audit: AuditLog, pki: SmallPki, issued: IssuedCertificate
) -> None:
    for authority_id, serial in ((issued.authority_id, issued.serial + 10**6), (pki.g2.id, issued.serial), (99, 1)):
        with pytest.raises(CertificateNotFound):
            service.revoke(authority_id, serial, RevocationReason.KEY_COMPROMISE, ACTOR)
        with pytest.raises(CertificateNotFound):
            service.suspend(authority_id, serial, ACTOR)
        with pytest.raises(CertificateNotFound):
            service.resume(authority_id, serial, ACTOR)
    assert written(database, audit) == (0, 0)


def test_the_other_generations_equal_serial_is_left_alone(
    database: Database, service: RevocationService, pki: SmallPki, issued: IssuedCertificate
) -> None:
    twin = pki.issue(pki.g2, serial=issued.serial)
    service.revoke(pki.g3.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert history(database, twin) == []
    service.suspend(pki.g2.id, twin.serial, ACTOR)
    assert history(database, twin) == [Change.SUSPEND]
    assert history(database, issued) == [Change.REVOKE]


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each call returned, or its refusal, when all began together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except RevocationError as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_eight_that_revoke_one_does(
    database: Database, service: RevocationService, audit: AuditLog, issued: IssuedCertificate
) -> None:
    results = at_once(
        *[
            lambda: service.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
            for _ in range(8)
        ]
    )
    assert sum(isinstance(result, AlreadyRevoked) for result in results) == 7
    assert history(database, issued) == [Change.REVOKE]
    assert written(database, audit) == (1, 1)


def test_suspensions_and_revocations_at_once_leave_a_legal_history(
    database: Database, service: RevocationService, audit: AuditLog, pki: SmallPki
) -> None:
    for _ in range(5):
        issued = pki.issue(pki.g3)
        name = (issued.authority_id, issued.serial)

        def revoke(name: tuple[int, int] = name) -> object:
            return service.revoke(*name, RevocationReason.SUPERSEDED, ACTOR)

        def suspend(name: tuple[int, int] = name) -> object:
            return service.suspend(*name, ACTOR)

        def resume(name: tuple[int, int] = name) -> object:
            return service.resume(*name, ACTOR)

        results = at_once(revoke, suspend, resume, revoke, suspend, resume, suspend, suspend)
        changes = history(database, issued)
        assert changes.count(Change.REVOKE) == 1
        assert changes[-1] is Change.REVOKE
        previous: Change | None = None
        for change in changes[:-1]:
            assert change is (Change.RESUME if previous is Change.SUSPEND else Change.SUSPEND)
            previous = change
        assert len(changes) == sum(not isinstance(result, RevocationError) for result in results)
    assert written(database, audit)[0] == written(database, audit)[1]


def test_certificates_revoked_at_once_get_numbers_without_a_gap(
    database: Database, service: RevocationService, audit: AuditLog, pki: SmallPki
) -> None:
    several = [pki.issue(pki.g3) for _ in range(8)]

    def revoke(issued: IssuedCertificate) -> Callable[[], object]:
        return lambda: service.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)

    results = at_once(*[revoke(issued) for issued in several])
    assert not any(isinstance(result, RevocationError) for result in results)
    assert written(database, audit) == (8, 8)


def test_a_refused_audit_event_leaves_the_certificate_as_it_was(
    database: Database, service: RevocationService, audit: AuditLog, issued: IssuedCertificate
) -> None:
    from ca_core.audit import EventRefused

    with pytest.raises(EventRefused):
        service.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, "not an actor")
    assert written(database, audit) == (0, 0)
