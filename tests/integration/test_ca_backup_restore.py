"""Backups older than what was acknowledged, processes killed half way, a second place that is full or away."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ca_core.audit import AuditSequencer, verify_log
from ca_core.backup import service as backup_service
from ca_core.backup import store as backup_store
from ca_core.backup.errors import (
    BackupDamaged,
    BackupExists,
    BackupRefused,
    JournalFault,
    RestoreUnfinished,
    TargetNotEmpty,
)
from ca_core.backup.journal import found_journal
from ca_core.backup.replay import replay
from ca_core.backup.service import RestoreReport, verify_restored
from ca_core.backup.standing import verify_standing
from ca_core.issuance import CertificateStore, IssuedCertificate, KeyBlocked
from ca_core.kernel.database import Database
from ca_core.kernel.second_place import Record, SecondPlaceUnavailable
from ca_core.revocation import Change, ChangeCommand, RevocationReason, StatusLog
from ca_core.revocation.second_place import change_record
from ca_core.status.crl_checker import CrlChecker
from support.fakes import FakeClock, SeededRng
from support.second_place import Guarded, request_of

TESTS = Path(__file__).parents[1]
LOG = StatusLog()


def issue(guarded: Guarded, number: int) -> IssuedCertificate:
    return guarded.issuance.issue(request_of(number))


def revoke(guarded: Guarded, issued: IssuedCertificate) -> None:
    guarded.revocation.revoke(guarded.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, "operator:1")


def restore(guarded: Guarded, backup: Path, target_url: str) -> RestoreReport:
    return guarded.backups.restore(backup, target_url, key_folder=guarded.folder / "keys2", actor="operator:1")


def state(database: Database, issued: IssuedCertificate) -> Change | None:
    with database.read() as tx:
        found = CertificateStore().find(tx, issued.authority_id, issued.serial)
        assert found is not None
        assert found.certificate == issued.certificate
        latest = LOG.latest(tx, found.certificate_id)
    return None if latest is None else latest.change


def test_a_restore_of_an_older_backup_loses_nothing_that_was_acknowledged(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    before = [issue(guarded, number) for number in range(4)]
    revoke(guarded, before[0])
    guarded.revocation.suspend(guarded.authority_id, before[1].serial, "operator:1")
    number = guarded.crls.publish("citizen-g1").number
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    clock.advance(600)
    revoke(guarded, before[2])
    guarded.revocation.resume(guarded.authority_id, before[1].serial, "operator:1")
    guarded.revocation.suspend(guarded.authority_id, before[3].serial, "operator:1")
    after = [issue(guarded, number) for number in range(10, 13)]
    revoke(guarded, after[0])
    numbers = [guarded.crls.publish("citizen-g1").number for _ in range(3)]
    report = restore(guarded, tmp_path / "backup", target_url)
    verify_restored(restored)
    assert (report.replay.changes, report.replay.certificates, report.replay.intents) == (4, 3, 3)
    assert (report.replay.uncertain, report.replay.burnt, report.replay.unknown_authority) == (0, 0, 0)
    assert [state(restored, one) for one in before] == [Change.REVOKE, Change.RESUME, Change.REVOKE, Change.SUSPEND]
    assert [state(restored, one) for one in after] == [Change.REVOKE, None, None]
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    assert again.crls.publish("citizen-g1").number > max(number, *numbers)
    assert issue(again, 11) == after[1]
    assert issue(again, 99).certificate_id > after[-1].certificate_id
    with guarded.database.read() as ours, restored.read() as theirs:
        assert LOG.changes_after(theirs, 0) == LOG.changes_after(ours, 0)
    sequencer = AuditSequencer(restored, clock)
    while sequencer.run_once():
        pass
    assert verify_log(restored).chained > 0
    assert {path.name for path in (tmp_path / "keys2").iterdir()} == {"root-g1.pem", "citizen-g1.pem"}


def test_a_key_that_was_blocked_after_the_backup_stays_blocked(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    request = request_of(7)
    for _ in range(2):
        guarded.issuance.block_key(request.public_key, reason="found in public", actor="operator:1")
    report = restore(guarded, tmp_path / "backup", target_url)
    assert (report.replay.blocked_keys, report.replay.unknown_authority) == (1, 0)
    with pytest.raises(KeyBlocked):
        Guarded(target_url, tmp_path, restored, clock, SeededRng(5)).issuance.issue(request)


def test_what_is_acknowledged_while_a_restore_ends_is_not_taken_for_settled(
    guarded: Guarded,
    tmp_path: Path,
    target_url: str,
    restored: Database,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A role that nobody stopped goes on at the old database."""
    issued = issue(guarded, 1)
    guarded.backups.create(tmp_path / "backup", actor="operator:1")

    def replay_then_revoke(*arguments: object) -> object:
        report = replay(*arguments)  # type: ignore[arg-type]  # as given
        revoke(guarded, issued)
        return report

    monkeypatch.setattr(backup_service, "replay", replay_then_revoke)
    restore(guarded, tmp_path / "backup", target_url)
    assert state(restored, issued) is None
    verify_standing(restored, guarded.journal, guarded.world.audit, clock)
    assert state(restored, issued) is Change.REVOKE


def test_a_layout_of_shards_introduced_after_the_backup_is_there_with_its_certificates(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    introduce(guarded, 2, "http://one.example.tw/pki")
    before = issue(guarded, 1)
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    introduce(guarded, 3, "http://two.example.tw/pki/")
    after = [issue(guarded, number) for number in range(10, 18)]
    for issued in (before, *after):
        revoke(guarded, issued)
    report = restore(guarded, tmp_path / "backup", target_url)
    assert (report.replay.shard_layouts, report.replay.certificates, report.replay.unknown_authority) == (1, 8, 0)
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    with guarded.database.read() as ours, restored.read() as theirs:
        expected = guarded.shards.all(ours, guarded.authority_id)
        assert again.shards.all(theirs, again.authority_id) == expected
    assert [(one.first, one.count, one.publication_url) for one in expected] == [
        (0, 2, "http://one.example.tw/pki"),
        (2, 3, "http://two.example.tw/pki"),
    ]
    again.crls.publish("citizen-g1")
    check = CrlChecker(restored, again.world.registry, LOG, clock, shards=again.shards).check("citizen-g1")
    assert (check.faults, check.entries, check.shards, check.without_shard) == ([], 9, 5, 0)
    with restored.read() as tx:
        counts, authorities = backup_store.row_counts(tx), frozenset(backup_store.authorities(tx))
    replayed = replay(restored, lambda: guarded.journal.records(guarded.journal.start()), authorities, clock())
    assert (replayed.shard_layouts, replayed.certificates, replayed.changes) == (0, 0, 0)
    with restored.read() as tx:
        assert backup_store.row_counts(tx) == counts
    introduce(again, 4, "http://three.example.tw/pki")
    assert (issue(again, 11), issue(again, 10)) == (after[1], after[0])


def test_a_serial_that_was_never_given_out_is_listed_in_its_shard(
    guarded: Guarded, database_url: str, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    introduce(guarded, 3, "http://one.example.tw/pki")
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    assert child(database_url, tmp_path, "issue", 0, "durable:1", clock) == (-signal.SIGKILL, "")
    issue(guarded, 0)
    assert restore(guarded, tmp_path / "backup", target_url).replay.burnt == 1
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    again.crls.publish("citizen-g1")
    check = CrlChecker(restored, again.world.registry, LOG, clock, shards=again.shards).check("citizen-g1")
    assert (check.faults, check.entries, check.shards, check.without_shard) == ([], 1, 3, 0)


def test_of_two_layouts_of_one_generation_the_one_that_was_committed_counts(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    kept, guarded.shards._second_place = guarded.shards._second_place, Dying(guarded)
    with pytest.raises(ZeroDivisionError):
        introduce(guarded, 7, "http://never.example.tw/pki")
    guarded.shards._second_place = kept
    introduce(guarded, 2, "http://one.example.tw/pki")
    assert restore(guarded, tmp_path / "backup", target_url).replay.shard_layouts == 1
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    assert again.shards.current(again.authority_id) == guarded.shards.current(guarded.authority_id)
    assert again.shards.current(again.authority_id) is not None


def introduce(guarded: Guarded, count: int, url: str) -> None:
    guarded.shards.introduce(guarded.authority_id, "citizen-g1", count=count, publication_url=url, actor="operator:1")
    guarded.shards._known.clear()  # as after a second


@pytest.mark.parametrize("step", ["written", "durable"])
def test_a_process_killed_in_its_acknowledgement_leaves_nothing_acknowledged_behind(
    guarded: Guarded,
    database_url: str,
    tmp_path: Path,
    target_url: str,
    restored: Database,
    clock: FakeClock,
    step: str,
) -> None:
    issued = issue(guarded, 1)
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    assert child(database_url, tmp_path, "revoke", issued.serial, f"{step}:1", clock) == (-signal.SIGKILL, "")
    assert state(guarded.database, issued) is None
    revoke(guarded, issued)
    assert state(guarded.database, issued) is Change.REVOKE
    restore(guarded, tmp_path / "backup", target_url)
    assert state(restored, issued) is Change.REVOKE
    with restored.read() as tx:
        assert len(LOG.changes_after(tx, 0)) == 1


@pytest.mark.parametrize("dies_at", ["written:1", "durable:1", "written:2", "durable:2"])
def test_an_issuance_killed_in_its_acknowledgement_never_gives_two_certificates(
    guarded: Guarded,
    database_url: str,
    tmp_path: Path,
    target_url: str,
    restored: Database,
    clock: FakeClock,
    dies_at: str,
) -> None:
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    assert child(database_url, tmp_path, "issue", 0, dies_at, clock) == (-signal.SIGKILL, "")
    guarded.issuance.recover()
    request = request_of(0)
    issued = guarded.issuance.issue(request)
    report = restore(guarded, tmp_path / "backup", target_url)
    assert state(restored, issued) is None
    with restored.read() as tx:
        assert backup_store.reused_serials(tx) == 0
        burnt = [change for change in LOG.changes_after(tx, 0) if change.certificate_id < 0]
    assert len(burnt) == report.replay.burnt <= 1
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    assert again.issuance.recover().stuck == ()
    assert again.issuance.issue(request) == issued


def test_a_cards_resumption_that_was_never_committed_is_left_out_as_a_whole(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database
) -> None:
    """Of its two numbers only the first was given to somebody else."""
    first, second, other = (issue(guarded, number) for number in range(3))
    for one in (first, second):
        guarded.revocation.suspend(one.authority_id, one.serial, "operator:1")
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    resumptions = [
        ChangeCommand(
            authority_id=one.authority_id,
            serial=one.serial,
            change=Change.RESUME,
            reason=RevocationReason.REMOVE_FROM_CRL,
            actor="operator:1",
        )
        for one in (first, second)
    ]
    with pytest.raises(ZeroDivisionError):
        rolled_back(guarded, lambda: guarded.revocation.change_together(resumptions))
    revoke(guarded, other)
    report = restore(guarded, tmp_path / "backup", target_url)
    assert report.replay.resumptions_left_out == 2
    assert [state(restored, one) for one in (first, second, other)] == [Change.SUSPEND, Change.SUSPEND, Change.REVOKE]


def test_what_was_journaled_and_never_committed_ends_but_never_resumes(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database
) -> None:
    first, second, third = (issue(guarded, number) for number in range(3))
    guarded.revocation.suspend(guarded.authority_id, third.serial, "operator:1")
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    with pytest.raises(ZeroDivisionError):
        rolled_back(guarded, lambda: revoke(guarded, first))
    with pytest.raises(ZeroDivisionError):
        rolled_back(guarded, lambda: guarded.revocation.resume(guarded.authority_id, third.serial, "operator:1"))
    revoke(guarded, second)
    report = restore(guarded, tmp_path / "backup", target_url)
    assert (report.replay.uncertain, report.replay.resumptions_left_out) == (3, 1)
    assert [state(restored, one) for one in (first, second, third)] == [Change.REVOKE, Change.REVOKE, Change.SUSPEND]


def rolled_back(guarded: Guarded, act: Callable[[], object]) -> None:
    """The act up to its journal, and no commit."""

    kept = guarded.revocation._second_place
    guarded.revocation._second_place = Dying(guarded)
    try:
        act()
    finally:
        guarded.revocation._second_place = kept


class Dying:
    """The act's process dies between its journal and its commit."""

    def __init__(self, guarded: Guarded) -> None:
        self._journal = guarded.journal

    def append(self, records: Sequence[Record]) -> None:
        self._journal.append(records)
        raise ZeroDivisionError


class Full:
    def append(self, records: Sequence[Record]) -> None:
        if records:
            raise SecondPlaceUnavailable("No space left on device")


def test_without_a_second_place_nothing_is_acknowledged_and_nothing_written(
    guarded: Guarded, database_url: str, tmp_path: Path, clock: FakeClock, rng: SeededRng
) -> None:
    issued = issue(guarded, 1)
    (tmp_path / "second").rename(tmp_path / "away")
    for full in (guarded, Guarded(database_url, tmp_path, guarded.database, clock, rng, second_place=Full())):
        with guarded.database.read() as tx:
            before = backup_store.row_counts(tx)
        with pytest.raises(SecondPlaceUnavailable):
            revoke(full, issued)
        with pytest.raises(SecondPlaceUnavailable):
            issue(full, 2)
        with pytest.raises(SecondPlaceUnavailable):
            full.crls.publish("citizen-g1")
        with pytest.raises(SecondPlaceUnavailable):
            introduce(full, 2, "http://one.example.tw/pki")
        with guarded.database.read() as tx:
            assert backup_store.row_counts(tx) == before
    (tmp_path / "away").rename(tmp_path / "second")
    revoke(guarded, issued)
    assert issue(guarded, 2).serial


def test_a_restore_that_was_cut_off_is_refused_service_and_goes_on(
    guarded: Guarded,
    tmp_path: Path,
    target_url: str,
    restored: Database,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issued = issue(guarded, 1)
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    revoke(guarded, issued)

    def dying(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("ca_core.backup.service.replay", dying)
        with pytest.raises(ZeroDivisionError):
            restore(guarded, tmp_path / "backup", target_url)
    with pytest.raises(RestoreUnfinished):
        verify_restored(restored)
    report = restore(guarded, tmp_path / "backup", target_url)
    verify_restored(restored)
    assert state(restored, issued) is Change.REVOKE
    with restored.read() as tx:
        authorities = frozenset(backup_store.authorities(tx))
    place = json.loads((tmp_path / "backup" / "manifest.json").read_text())["place"]
    assert place["count"] > 0
    again = replay(restored, lambda: guarded.journal.records(guarded.journal.start()), authorities, clock())
    assert (again.changes, again.certificates, again.burnt, report.replay.changes) == (0, 0, 0, 1)
    with pytest.raises(TargetNotEmpty):
        restore(guarded, tmp_path / "backup", target_url)


def test_a_backup_that_was_altered_restores_nothing(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database
) -> None:
    manifest = guarded.backups.create(tmp_path / "backup", actor="operator:1")
    with pytest.raises(BackupExists):
        guarded.backups.create(tmp_path / "backup", actor="operator:1")
    for name in manifest.files:
        damaged = tmp_path / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(tmp_path / "backup", damaged)
        octets = bytearray((damaged / name).read_bytes())
        octets[len(octets) // 2] ^= 1
        (damaged / name).write_bytes(octets)
        with pytest.raises(BackupDamaged):
            restore(guarded, damaged, target_url)
    (tmp_path / "damaged" / "manifest.json").write_text("{}")
    with pytest.raises(BackupDamaged):
        restore(guarded, tmp_path / "damaged", target_url)
    assert not (tmp_path / "keys2").exists()
    assert not (tmp_path / "restored" / "database.db").exists()
    if not restored.is_embedded:
        with restored.read() as tx:
            assert not backup_store.has_tables(tx)


def test_another_journal_or_none_un_revokes_nothing(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, rng: SeededRng
) -> None:
    issued = issue(guarded, 1)
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    revoke(guarded, issued)
    kept = tmp_path / "kept"
    (tmp_path / "second").rename(kept)
    with pytest.raises((JournalFault, BackupRefused)):
        restore(guarded, tmp_path / "backup", target_url)
    found_journal(tmp_path / "second", rng)
    with pytest.raises(JournalFault):
        restore(guarded, tmp_path / "backup", target_url)
    shutil.rmtree(tmp_path / "second")
    kept.rename(tmp_path / "second")
    restore(guarded, tmp_path / "backup", target_url)
    assert state(restored, issued) is Change.REVOKE


def test_a_backup_while_others_write_has_every_revocation_once(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database
) -> None:
    certificates = [issue(guarded, number) for number in range(12)]
    for issued in certificates[:4]:
        revoke(guarded, issued)

    def work() -> None:
        for issued in certificates[4:]:
            revoke(guarded, issued)

    thread = threading.Thread(target=work)
    thread.start()
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    thread.join(60)
    restore(guarded, tmp_path / "backup", target_url)
    with restored.read() as tx:
        found = [change_record(change) for change in LOG.changes_after(tx, 0)]
    with guarded.database.read() as tx:
        assert found == [change_record(change) for change in LOG.changes_after(tx, 0)]
    assert len(found) == 12


def child(url: str, folder: Path, action: str, serial: int, dies_at: str, clock: FakeClock) -> tuple[int, str]:
    """The exit status and what was acknowledged."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "support.second_place_child",
            url,
            str(folder),
            action,
            f"{serial:x}",
            dies_at,
            clock.now.isoformat(),
        ],
        cwd=TESTS,
        check=False,
        timeout=60,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.returncode, done.stdout
