"""Batches under faults: killed anywhere, token gone, disk full, database gone, clock back, two workers at once.

After each: no certificate is lost, no serial stands twice, and every certificate has its audit event.
"""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from sqlalchemy import select

from ca_core.issuance import (
    IssuedCertificate,
    KeyBlocked,
    KeyReused,
    PossessionNotProven,
    RequestIdReused,
    RequestMalformed,
)
from ca_core.issuance.backlog import LintBacklogService
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.lint import Linter
from ca_core.issuance.model import LintMode
from ca_core.issuance.store import certificates
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.errors import Unavailable
from ca_core.keys import KeyAlgorithm, PrivateKey, SoftwareKeyStore
from ca_core.keys.hsm_keys import HsmEcPrivateKey
from support.fakes import FakeClock, SeededRng
from support.issuance_rows import EVENTS, INTENTS, issued, requests, rows, verify_whole
from support.pki import MemoryKeyStore, World, ceremony, citizen_request, make_world, new_key
from support.pki_child import PASSPHRASE, batch_requests

TESTS = Path(__file__).parents[1]
LINTED = Statement(select(certificates.c.lint, certificates.c.linted_at, certificates.c.lint_findings))


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return make_world(database, clock, rng)


# What comes out


@pytest.mark.parametrize("mode", list(LintMode))
def test_a_batch_is_one_certificate_a_request_in_their_order(database: Database, world: World, mode: LintMode) -> None:
    wanted = requests(7)
    outcomes = issued(world.issuance.issue_many(wanted, lint=mode, batch_size=3))
    for request, one in zip(wanted, outcomes, strict=True):
        assert (one.card_number, one.lint) == (request.card_number, mode)
        assert one.certificate.public_key() == request.public_key
        one.certificate.verify_directly_issued_by(world.registry.by_slug("citizen-g1").certificate)
    assert world.issuance.issue_many(wanted, lint=mode) == outcomes
    assert world.issuance.issue(wanted[4]) == outcomes[4]
    verify_whole(database)


def test_a_refused_request_disturbs_no_other(database: Database, world: World) -> None:
    blocked, key = new_key(), new_key()
    world.issuance.block_key(blocked.public_key(), reason="found in public", actor="operator:1")
    world.issuance.issue(citizen_request("old"))
    wanted = [
        citizen_request("good-1", key=key),
        citizen_request("reused", key=key, person_id="p2"),
        citizen_request("blocked", key=blocked),
        citizen_request("unproven", csr=None),
        citizen_request("name", common_name=" "),
        citizen_request("old", common_name="another"),
        citizen_request("good-2"),
        citizen_request("good-1", key=key),
        citizen_request("good-2", common_name="another"),
    ]
    kinds = [type(outcome) for outcome in world.issuance.issue_many(wanted, lint=LintMode.TEMPLATE)]
    assert kinds == [
        IssuedCertificate,
        KeyReused,
        KeyBlocked,
        PossessionNotProven,
        RequestMalformed,
        RequestIdReused,
        IssuedCertificate,
        IssuedCertificate,
        RequestIdReused,
    ]
    assert {row[0] for row in rows(database, INTENTS)} >= {"good-1", "good-2", "old"}
    assert len(rows(database, INTENTS)) == 2 + 3  # the authorities' own
    verify_whole(database)


def test_a_serial_that_is_taken_costs_its_batch_nothing_but_time(
    database: Database, clock: FakeClock, world: World
) -> None:
    first = world.issuance.issue(citizen_request("first"))
    serials = iter([first.serial.to_bytes(16, "big"), *(bytes([0x30 + index]) * 16 for index in range(20))])
    unlucky = World(
        database, clock, lambda size: next(serials) if size == 16 else bytes(size), key_store=world.key_store
    )
    unlucky.issuance._records._audit = world.audit
    outcomes = issued(unlucky.issuance.issue_many(requests(3), lint=LintMode.TEMPLATE))
    assert len({one.serial for one in outcomes} | {first.serial}) == 4
    verify_whole(database)


# Faults


# A batch of two and one of one: the first's checkpoints come first, with those of the token's thread between them.
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 8, 10, 12, 13, 14, 16, 17])
def test_a_killed_batch_is_carried_out_by_recovery_or_repetition(
    database: Database, database_url: str, clock: FakeClock, rng: SeededRng, tmp_path: Path, count: int
) -> None:
    keys = SoftwareKeyStore(tmp_path / "keys", PASSPHRASE)
    world = World(database, clock, rng, key_store=keys)
    world.hold(ceremony())
    command = [sys.executable, "-m", "support.pki_child", database_url, str(tmp_path / "keys"), "batch", str(count)]
    died = subprocess.run([*command, clock.now.isoformat()], cwd=TESTS, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    left = {row[0]: row[2] for row in rows(database, INTENTS)}
    if count % 2:
        assert world.issuance.recover().stuck == ()
    outcomes = issued(world.issuance.issue_many(batch_requests(), lint=LintMode.TEMPLATE))
    for index, one in enumerate(outcomes):
        assert left.get(f"batch-{index}", f"{one.serial:040x}") == f"{one.serial:040x}"
    verify_whole(database)


class LeavingKeyStore(MemoryKeyStore):
    """A token that goes away after so many signatures, until it is put back."""

    def __init__(self, keys: dict[str, PrivateKey], signatures: int) -> None:
        super().__init__()
        self.keys = keys
        self.left = signatures

    def private_key(self, label: str) -> PrivateKey:
        key = super().private_key(label)
        assert isinstance(key, ec.EllipticCurvePrivateKey)

        def raw_sign(digest: bytes) -> bytes:
            if self.left <= 0:
                raise Unavailable("the token is gone")
            self.left -= 1
            r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")

        return HsmEcPrivateKey(key.public_key(), raw_sign)


def test_a_token_that_goes_away_within_a_batch_and_comes_back(
    database: Database, clock: FakeClock, rng: SeededRng, world: World
) -> None:
    assert isinstance(world.key_store, MemoryKeyStore)
    token = LeavingKeyStore(world.key_store.keys, 5)
    service = World(database, clock, rng, key_store=token).issuance
    wanted = requests(8)
    outcomes = service.issue_many(wanted, lint=LintMode.TEMPLATE, batch_size=3)
    assert [isinstance(outcome, IssuedCertificate) for outcome in outcomes] == [True] * 5 + [False] * 3
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes[5:])
    intended = {row[0]: row[2] for row in rows(database, INTENTS)}
    with pytest.raises(Unavailable):
        service.recover()
    token.left = 1_000
    again = issued(service.issue_many(wanted, lint=LintMode.TEMPLATE))
    assert again[:5] == outcomes[:5]
    assert [f"{one.serial:040x}" for one in again] == [intended[request.request_id] for request in wanted]
    verify_whole(database)


def test_a_full_disk_refuses_and_loses_nothing(
    sqlite_database_url: str, clock: FakeClock, rng: SeededRng, tmp_path: Path
) -> None:
    """SQLite may not grow: wherever that stops a batch, what was recorded stays whole and the rest goes on later."""
    database = Database.open(sqlite_database_url)
    world = make_world(database, clock, rng)
    database.dispose()
    with closing(sqlite3.connect(tmp_path / "database.db")) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    wanted = requests(40)
    stopped = 0
    for room in (0, 1, 2, 3, 4, 6, 9, 13):
        full = Database.open(sqlite_database_url, pool_size=1)
        with full.read() as tx:
            tx._connection.execute(f"PRAGMA max_page_count={pages + room}").close()
        service = World(full, clock, rng, key_store=world.key_store).issuance
        try:
            service.issue_many(wanted, lint=LintMode.TEMPLATE, batch_size=8)
        except Unavailable:
            stopped += 1
        full.dispose()
    assert stopped >= 3
    roomy = Database.open(sqlite_database_url)
    intended = {row[0]: row[2] for row in rows(roomy, INTENTS)}
    service = World(roomy, clock, rng, key_store=world.key_store).issuance
    for one, request in zip(issued(service.issue_many(wanted)), wanted, strict=True):
        assert intended.get(request.request_id, f"{one.serial:040x}") == f"{one.serial:040x}"
    verify_whole(roomy)
    roomy.dispose()


@pytest.mark.parametrize("step", [Step.LINTED, Step.INTENT_RECORDED, Step.SIGNED, Step.VERIFIED, Step.AUDITED])
def test_a_database_that_goes_away_at_a_step_loses_nothing(
    database: Database, clock: FakeClock, rng: SeededRng, world: World, step: Step
) -> None:
    """Every connection is refused from that step on, until the database is back."""
    gone = False

    def leave(reached: Step) -> None:
        nonlocal gone
        if gone or reached is step:
            gone = True
            raise Unavailable("the database is gone")

    wanted = requests(5)
    leaving = World(database, clock, rng, key_store=world.key_store, checkpoint=leave)
    try:
        outcomes = leaving.issuance.issue_many(wanted, lint=LintMode.TEMPLATE, batch_size=2)
        assert not any(isinstance(outcome, IssuedCertificate) for outcome in outcomes)
    except Unavailable:
        pass
    assert gone
    intended = {row[0]: row[2] for row in rows(database, INTENTS)}
    world.issuance.recover()
    for one, request in zip(issued(world.issuance.issue_many(wanted)), wanted, strict=True):
        assert intended.get(request.request_id, f"{one.serial:040x}") == f"{one.serial:040x}"
    verify_whole(database)


def test_a_clock_that_steps_back_an_hour_between_intent_and_record(
    database: Database, clock: FakeClock, rng: SeededRng, world: World
) -> None:
    class Died(Exception):
        pass

    def die(step: Step) -> None:
        if step is Step.SIGNED:
            raise Died

    clock.advance(3_600)
    wanted = requests(4)
    with pytest.raises(Died):
        World(database, clock, rng, key_store=world.key_store, checkpoint=die).issuance.issue_many(wanted, batch_size=2)
    begun = clock.now
    clock.now -= timedelta(hours=1)
    first = issued(world.issuance.issue_many(wanted, lint=LintMode.TEMPLATE))
    assert [one.certificate.not_valid_before_utc for one in first[:2]] == [
        begun
    ] * 2  # the intent's octets, not new ones
    assert len(issued(world.issuance.issue_many(requests(3, "later"), lint=LintMode.TEMPLATE))) == 3
    verify_whole(database)


def test_two_workers_recover_and_repeat_at_once(
    database: Database, clock: FakeClock, rng: SeededRng, world: World
) -> None:
    class Died(Exception):
        pass

    def die(step: Step) -> None:
        if step is Step.INTENT_RECORDED:
            raise Died

    wanted = requests(12)
    with pytest.raises(Died):
        World(database, clock, rng, key_store=world.key_store, checkpoint=die).issuance.issue_many(wanted)
    services = [World(database, clock, rng, key_store=world.key_store).issuance for _ in range(4)]
    barrier, failures = threading.Barrier(4), list[Exception]()
    got: list[list[IssuedCertificate]] = []

    def work(index: int) -> None:
        barrier.wait()
        try:
            if index < 2:
                assert services[index].recover().stuck == ()
            else:
                got.append(issued(services[index].issue_many(wanted, batch_size=5)))
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert got[0] == got[1] == issued(world.issuance.issue_many(wanted))
    verify_whole(database)


# What was issued by template is linted afterwards


def test_the_worker_lints_what_was_issued_by_template_once(database: Database, clock: FakeClock, world: World) -> None:
    world.issuance.issue_many(requests(3), lint=LintMode.TEMPLATE)
    world.issuance.issue(citizen_request("every"))
    service = LintBacklogService(database, world.profiles, world.audit, clock)
    before = service.state()
    assert (before.every, before.template, before.waiting, before.with_findings) == (3, 3, 3, 0)
    assert before.oldest_waiting == clock.now
    assert service.lint_backlog(limit=2).linted == 2
    clock.advance(60)
    report = service.lint_backlog()
    assert (report.linted, report.findings) == (1, {})
    assert service.state().waiting == 0
    assert service.lint_backlog().linted == 0
    assert all(row[1] is not None and row[2] is None for row in rows(database, LINTED))


def test_a_finding_afterwards_is_an_alarm(
    database: Database,
    clock: FakeClock,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (one,) = issued(world.issuance.issue_many(requests(1), lint=LintMode.TEMPLATE))
    monkeypatch.setattr(Linter, "findings", lambda *_, **__: ["ERROR certificate.x: tests.finding"])
    services = [LintBacklogService(database, world.profiles, world.audit, clock) for _ in range(2)]
    reports = [service.lint_backlog() for service in services]
    assert reports[0].findings == {one.certificate_id: ("ERROR certificate.x: tests.finding",)}
    assert reports[1].linted == 0
    told = [row for row in rows(database, EVENTS) if row[0] == "certificate.lint_failed"]
    assert [row[2] for row in told] == [f"certificate:{one.certificate_id}"]
    assert services[0].state().with_findings == 1
    assert "certificate_lint_failed" in "".join(capsys.readouterr())


def test_both_modes_are_recorded_and_audited(database: Database, world: World) -> None:
    for mode in LintMode:
        (one,) = issued(world.issuance.issue_many(requests(1, mode.value), lint=mode))
        assert one.lint is mode
    with database.read() as tx:
        told = [event for event in world.audit.recent(tx) if event.name == "certificate.issued"]
    details = {event.request_id: event.detail for event in told}
    assert '"lint":"every"' in details["every0"]
    assert '"lint":"template"' in details["template0"]


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_4096, KeyAlgorithm.P_384])
def test_other_issuing_keys(database: Database, clock: FakeClock, rng: SeededRng, algorithm: KeyAlgorithm) -> None:
    world = make_world(database, clock, rng, algorithm=algorithm)
    issued(world.issuance.issue_many(requests(2), lint=LintMode.TEMPLATE))
    verify_whole(database)
