"""A full disk, the database gone at any statement, kill -9, two workers at once: nothing lost, nothing twice."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPCertStatus

from ca_core.audit import AuditLog
from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.kernel.clock import system_clock
from ca_core.kernel.connections import DriverConnection
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.kernel.rng import system_rng
from ca_core.keys import SoftwareKeyStore
from ca_core.migration.service import MigrationService
from ca_core.revocation import RevocationReason, StatusLog
from ca_core.status import StatusService
from ca_core.timestamp import TimestampRecords, TimestampUnits
from support import timestamp_child
from support.audit_refusal import contents
from support.fakes import START, FakeClock, SeededRng
from support.moving_in import moving_in, run_kind
from support.old_house import OldHouse, write_holders, write_pem
from support.pki import World, ceremony_toml, citizen_request
from support.pki_child import PASSPHRASE
from support.whole_ca import ACTOR, SLUG, WholeCa, until_it_passes

ROOM = 1_073_741_823
TESTS = Path(__file__).parents[1]


@pytest.fixture
def ca(database: Database, clock: FakeClock, rng: SeededRng) -> WholeCa:
    return WholeCa(database, clock, rng)


@pytest.fixture(scope="module")
def house() -> OldHouse:
    return OldHouse()


# A full disk


@pytest.fixture
def small(sqlite_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["SmallDisk"]:
    database = Database.open(sqlite_database_url)
    disk = SmallDisk(database)
    monkeypatch.setattr(database.connections, "take", disk.take)
    yield disk
    database.dispose()


class SmallDisk:
    """A SQLite file that may not grow while the disk is full."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.pages = ROOM
        self._take = database.connections.take

    def take(self) -> DriverConnection:
        connection = self._take()
        connection.execute(f"PRAGMA max_page_count={self.pages}").close()
        return connection

    @contextmanager
    def full(self) -> Iterator[None]:
        self.pages = 1  # no page more than there are
        try:
            yield
        finally:
            self.pages = ROOM


def until_refused(act: Callable[[], object], most: int = 3_000) -> int:
    """How often the act passed before the disk was full for it."""
    for count in range(most):
        try:
            act()
        except Unavailable as error:
            assert "full" in error.detail
            return count
    raise AssertionError("the disk never was full")


def test_a_full_disk_refuses_a_change_of_status_and_loses_none(
    small: SmallDisk, clock: FakeClock, rng: SeededRng
) -> None:
    ca = WholeCa(small.database, clock, rng)
    issued = ca.issue()
    is_held = False

    def change() -> None:
        nonlocal is_held
        act = ca.revocations.resume if is_held else ca.revocations.suspend
        act(ca.authority.id, issued.serial, ACTOR)
        is_held = not is_held

    with small.full():
        acknowledged = until_refused(change)
        clock.advance(1)
        expected = OCSPCertStatus.REVOKED if is_held else OCSPCertStatus.GOOD
        assert ca.ask(ca.node(), issued).certificate_status is expected
    assert len(ca.rows("status_changes")) == acknowledged
    ca.revocations.revoke(ca.authority.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    ca.verify_whole()


def test_a_full_disk_stops_no_answer_about_a_certificate(small: SmallDisk, clock: FakeClock, rng: SeededRng) -> None:
    ca = WholeCa(small.database, clock, rng)
    several = [ca.issue(f"r{number}", number) for number in range(40)]
    ca.revocations.revoke(ca.authority.id, several[0].serial, RevocationReason.SUPERSEDED, ACTOR)
    ca.ocsp.presigned.run_once()
    with small.full():
        said = [ca.ask(ca.ocsp, issued).certificate_status for issued in several]
        with pytest.raises(Unavailable):
            ca.ocsp.presigned.run_once()  # there is no room to store forty
        assert said == [ca.ask(ca.node(), issued).certificate_status for issued in several]
    assert said == [OCSPCertStatus.REVOKED] + [OCSPCertStatus.GOOD] * 39
    node = ca.node()
    for issued in several:
        ca.ask(node, issued)
    node.presigned.run_once()
    assert len(ca.rows("ocsp_answers")) == 40


def test_a_full_disk_gives_no_stamp_that_is_not_recorded(small: SmallDisk, clock: FakeClock, rng: SeededRng) -> None:
    ca = WholeCa(small.database, clock, rng)
    given = 0
    with small.full():
        while ca.stamp():
            given += 1
            assert given < 3_000
    assert len(ca.rows("timestamps")) == given
    assert ca.stamp()
    clock.advance(600)
    seal = ca.records.seal(ACTOR)
    assert seal is not None and seal.count == given + 1


def test_a_full_disk_stops_the_log_from_growing_and_breaks_nothing(
    small: SmallDisk, clock: FakeClock, rng: SeededRng
) -> None:
    ca = WholeCa(small.database, clock, rng)
    key = ca.issue().certificate.public_key()
    with small.full():
        until_refused(lambda: ca.world.issuance.block_key(key, reason="x" * 400, actor=ACTOR))  # type: ignore[arg-type]  # a P-256 key
        for _ in range(5):
            try:
                ca.sequencer.run_once()
            except Unavailable as error:
                assert "full" in error.detail
    ca.verify_whole()


def test_an_import_into_a_full_disk_goes_on_where_it_was(
    small: SmallDisk, clock: FakeClock, rng: SeededRng, house: OldHouse, tmp_path: Path
) -> None:
    service = old_house_moving_in(small.database, clock, rng, house)
    source = write_pem(tmp_path / "all.pem", [house.certificate(number) for number in range(1, 60)])
    crl = tmp_path / "g1.crl"
    crl.write_bytes(house.crl({number: (START, None) for number in range(1, 60)}).public_bytes(Encoding.DER))
    holders = write_holders(tmp_path / "holders.csv", range(1, 60))
    for kind, path in (("holders", holders), ("certificates", source), ("crl", crl)):
        with small.full(), pytest.raises(Unavailable, match="full"):
            run_kind(service, kind, path)
        report = run_kind(service, kind, path)
        assert (report.accepted, report.refused) == (59, 0)
    with small.database.read() as tx:
        assert StatusLog().head(tx) == 59


# The database gone


def test_a_database_gone_at_any_statement_of_a_change_of_status(ca: WholeCa) -> None:
    issued = ca.issue()
    name = (ca.authority.id, issued.serial)
    assert until_it_passes(lambda: ca.revocations.suspend(*name, ACTOR)) >= 4
    assert until_it_passes(lambda: ca.revocations.resume(*name, ACTOR)) >= 4
    assert until_it_passes(lambda: ca.revocations.revoke(*name, RevocationReason.SUPERSEDED, ACTOR)) >= 4
    assert len(ca.rows("status_changes")) == 3
    ca.verify_whole()


def test_a_database_gone_at_any_statement_of_an_issuance(ca: WholeCa) -> None:
    before = len(ca.rows("certificates"))
    request = citizen_request("one")
    assert until_it_passes(lambda: ca.world.issuance.issue(request)) >= 6
    assert len(ca.rows("certificates")) == len(ca.rows("issuance_intents")) == before + 1
    ca.verify_whole()


def test_a_database_gone_at_any_statement_of_a_list(ca: WholeCa) -> None:
    issued = ca.issue()
    ca.revocations.revoke(ca.authority.id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    failed = until_it_passes(lambda: ca.crls.publish(SLUG))
    failed += until_it_passes(lambda: ca.crls.publish_delta(SLUG))
    assert failed >= 20
    assert ca.events("crl.published") == 2
    ca.clock.advance(2 * 3_600)
    ca.verify_whole()


def test_a_database_gone_at_any_statement_of_the_workers_answers(ca: WholeCa) -> None:
    issued = ca.issue()
    ca.ask(ca.ocsp, issued)
    until_it_passes(ca.ocsp.presigned.run_once)
    ca.ask(ca.node(), issued)
    ca.revocations.revoke(ca.authority.id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    assert until_it_passes(ca.ocsp.presigned.run_once) >= 1
    assert ca.ask(ca.node(), issued).certificate_status is OCSPCertStatus.REVOKED


def test_a_database_gone_at_any_statement_of_a_renewal(ca: WholeCa) -> None:
    certificates = len(ca.rows("certificates"))
    ca.clock.advance(400 * 86_400)
    assert until_it_passes(lambda: ca.ocsp_responders.ensure(ca.world.issuance, ca.rng)) >= 10
    assert until_it_passes(lambda: ca.units.ensure(ca.world.issuance, ca.rng)) >= 5
    assert len(ca.rows("certificates")) == certificates + 3
    assert ca.ocsp_responders.ensure(ca.world.issuance, ca.rng) == []
    ca.verify_whole()


def test_a_database_gone_at_any_statement_of_the_log_and_the_seals(ca: WholeCa) -> None:
    for number in range(3):
        assert ca.stamp(bytes([number]))
    ca.clock.advance(600)
    assert until_it_passes(lambda: ca.records.seal(ACTOR)) >= 4
    assert ca.events("timestamp.sealed") == 1
    assert until_it_passes(ca.sequencer.run_once) >= 4
    ca.verify_whole()


def test_a_database_gone_at_any_statement_of_an_import(
    database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse, tmp_path: Path
) -> None:
    service = old_house_moving_in(database, clock, rng, house)
    holders = write_holders(tmp_path / "holders.csv", range(1, 6))
    source = write_pem(tmp_path / "all.pem", [house.certificate(number) for number in range(1, 6)])
    crl = tmp_path / "g1.crl"
    crl.write_bytes(house.crl({number: (START, None) for number in range(1, 4)}).public_bytes(Encoding.DER))
    for kind, path, count in (("holders", holders, 5), ("certificates", source, 5), ("crl", crl, 3)):
        assert until_it_passes(lambda kind=kind, path=path: run_kind(service, kind, path)) >= 5  # type: ignore[misc]  # bound now
        report = run_kind(service, kind, path)
        assert (report.accepted, report.known, report.refused) == (count, 0, 0)
    with database.read() as tx:
        assert StatusLog().head(tx) == 3


def old_house_moving_in(database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse) -> MigrationService:
    service = moving_in(database, clock, rng)
    for slug in ("root", "g1"):
        service.authorities.add(house.authorities[slug].public_bytes(Encoding.PEM), slug=f"old-{slug}", actor=ACTOR)
    return service


# Two workers at once


def at_once(*acts: Callable[[], object]) -> list[object]:
    """What each returned or raised, by a DomainError or none."""
    barrier = threading.Barrier(len(acts))
    results: list[object] = [None] * len(acts)

    def work(index: int) -> None:
        barrier.wait()
        try:
            results[index] = acts[index]()
        except Exception as error:  # noqa: BLE001 - the test judges it
            results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_workers_seal_every_stamp_once(ca: WholeCa) -> None:
    for number in range(5):
        assert ca.stamp(bytes([number]))
    ca.clock.advance(600)
    sealed = at_once(*[lambda: ca.records.seal(ACTOR)] * 4)
    assert not [one for one in sealed if isinstance(one, Exception)]
    assert [one.count for one in sealed if one is not None] == [5]  # type: ignore[attr-defined]  # a Seal
    assert ca.events("timestamp.sealed") == 1


def test_two_imports_of_one_file_take_everything_once(
    database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse, tmp_path: Path
) -> None:
    service = old_house_moving_in(database, clock, rng, house)
    run_kind(service, "holders", write_holders(tmp_path / "holders.csv", range(1, 30)))
    source = write_pem(tmp_path / "all.pem", [house.certificate(number) for number in range(1, 30)])
    workers = [moving_in(database, clock, rng, batch=5) for _ in range(2)]
    at_once(*[lambda worker=worker: run_kind(worker, "certificates", source) for worker in workers])
    report = run_kind(service, "certificates", source)
    assert (report.accepted, report.refused) == (29, 0)
    found = [row for row in contents(database)["certificates"] if "citizen-legacy-signature" in row]
    assert len(found) == 29


def test_two_workers_renew_and_every_order_ends(ca: WholeCa) -> None:
    ca.clock.advance(400 * 86_400)
    made = at_once(*[lambda: ca.ocsp_responders.ensure(ca.world.issuance, ca.rng)] * 2)
    assert not [one for one in made if isinstance(one, Exception)]
    assert ca.rows("ocsp_responder_orders") == []
    made = at_once(*[lambda: ca.units.ensure(ca.world.issuance, ca.rng)] * 2)
    assert not [one for one in made if isinstance(one, Exception)]
    assert not ca.units.ensure(ca.world.issuance, ca.rng)
    assert ca.ocsp_responders.ensure(ca.world.issuance, ca.rng) == []
    ca.verify_whole()


# Kill -9


def test_kill_9_uses_no_stamps_serial_twice_and_seals_what_was_given(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    keys = SoftwareKeyStore(tmp_path / "keys", PASSPHRASE)
    world = World(database, lambda: system_clock() - timedelta(days=1), system_rng, key_store=keys)
    text = ceremony_toml().replace('"internal-tls"', '"internal-tls", "time-stamping"')
    world.hold(parse_ceremony(text.encode()))
    status = StatusService(StatusLog())
    units = TimestampUnits(database, world.registry, keys, status, system_clock, authority=SLUG)
    assert units.ensure(World(database, system_clock, system_rng, key_store=keys).issuance, system_rng)
    command = [sys.executable, "-m", "support.timestamp_child", database_url, str(tmp_path / "keys")]
    given: list[int] = []
    for _ in range(2):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=TESTS, env={**os.environ, "PYTHONPATH": str(TESTS)}, text=True
        ) as child:
            assert child.stdout is not None
            given += [int(child.stdout.readline(), 16) for _ in range(20)]
            child.send_signal(signal.SIGKILL)
            given += [int(line, 16) for line in child.stdout.read().split("\n")[:-1]]
            assert child.wait(10) == -signal.SIGKILL
    given.append(timestamp_child.stamped_serial(timestamp_child.timestamp_authority(database, tmp_path / "keys"), 1))
    recorded = len(contents(database)["timestamps"])
    assert len(set(given)) == len(given) <= recorded <= len(given) + 2  # one a kill may be recorded and not given

    def later() -> datetime:
        return system_clock() + timedelta(minutes=10)

    seal = TimestampRecords(database, AuditLog(later, system_rng), later).seal(ACTOR)
    assert seal is not None and seal.count == recorded
