"""A database that was put back by its own means (a recovered server, a copied file) is noticed at the start."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ca_core.audit import AuditSequencer
from ca_core.audit.origins import LogOrigin, current_origin
from ca_core.backup import store as backup_store
from ca_core.backup.errors import BackupRefused, DatabaseBehind, JournalFault, RestoreUnfinished
from ca_core.backup.service import verify_restored
from ca_core.backup.standing import verify_standing
from ca_core.issuance import CertificateStore, IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.kernel.second_place import Record
from ca_core.revocation import Change, RevocationReason, StatusLog
from support.fakes import FakeClock, SeededRng
from support.postgresql import PostgresqlServer
from support.put_back import PutBack
from support.second_place import Guarded, request_of

ACTOR = "operator:1"
TESTS = Path(__file__).parents[1]


@pytest.fixture
def past(guarded: Guarded, tmp_path: Path, request: pytest.FixtureRequest) -> PutBack:
    server = None if guarded.database.is_embedded else request.getfixturevalue("postgresql_server")
    assert server is None or isinstance(server, PostgresqlServer)
    return PutBack(guarded.database, guarded.url, tmp_path, server)


def start(guarded: Guarded, *, signed_size: int | None = None) -> None:
    verify_standing(guarded.database, guarded.journal, guarded.world.audit, guarded.clock, signed_size=signed_size)


def rows(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return backup_store.row_counts(tx)


def issue(guarded: Guarded, number: int) -> IssuedCertificate:
    return guarded.issuance.issue(request_of(number))


def revoke(guarded: Guarded, issued: IssuedCertificate) -> None:
    guarded.revocation.revoke(guarded.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)


def suspend(guarded: Guarded, issued: IssuedCertificate) -> None:
    guarded.revocation.suspend(guarded.authority_id, issued.serial, ACTOR)


def resume(guarded: Guarded, issued: IssuedCertificate) -> None:
    guarded.revocation.resume(guarded.authority_id, issued.serial, ACTOR)


def state(database: Database, issued: IssuedCertificate) -> Change | None:
    with database.read() as tx:
        found = CertificateStore().find(tx, issued.authority_id, issued.serial)
        assert found is not None
        latest = StatusLog().latest(tx, found.certificate_id)
    return None if latest is None else latest.change


def origin(database: Database) -> LogOrigin:
    with database.read() as tx:
        return current_origin(tx)


def refused(guarded: Guarded, *, signed_size: int | None = None) -> str:
    """What the refusal says. Every role is refused from then on, also one that has no second place."""
    with pytest.raises(DatabaseBehind) as caught:
        start(guarded, signed_size=signed_size)
    assert "citizenid backup catch-up" in caught.value.detail
    with pytest.raises(DatabaseBehind, match="citizenid backup catch-up"):
        verify_restored(guarded.database)
    return caught.value.detail


def caught_up(guarded: Guarded) -> None:
    guarded.backups.catch_up(actor=ACTOR)
    before = rows(guarded.database)
    start(guarded)
    assert rows(guarded.database) == before
    assert origin(guarded.database).is_closed
    with pytest.raises(BackupRefused):
        guarded.backups.catch_up(actor=ACTOR)


def test_a_database_that_lacks_nothing_is_let_start_and_nothing_is_written(guarded: Guarded) -> None:
    start(guarded)
    several = [issue(guarded, number) for number in range(3)]
    suspend(guarded, several[0])
    resume(guarded, several[0])
    revoke(guarded, several[1])
    guarded.crls.publish("citizen-g1")
    guarded.shards.introduce(
        guarded.authority_id, "citizen-g1", count=2, publication_url="http://one.example.tw/pki", actor=ACTOR
    )
    before = rows(guarded.database)
    start(guarded, signed_size=0)
    assert rows(guarded.database) == before


def test_lost_revocations_are_refused_until_they_are_back(guarded: Guarded, past: PutBack) -> None:
    several = [issue(guarded, number) for number in range(4)]
    suspend(guarded, several[3])
    past.keep()
    revoke(guarded, several[0])
    revoke(guarded, several[1])
    resume(guarded, several[3])
    past.put_back()
    assert [state(guarded.database, one) for one in several] == [None, None, None, Change.SUSPEND]
    assert "2 changes of status" in refused(guarded)
    caught_up(guarded)
    assert [state(guarded.database, one) for one in several] == [Change.REVOKE, Change.REVOKE, None, Change.RESUME]


def test_a_certificate_that_was_lost_with_its_intent_is_refused_until_it_is_back(
    guarded: Guarded, past: PutBack
) -> None:
    past.keep()
    issued = issue(guarded, 1)
    past.put_back()
    assert f"certificate {issued.serial:x}" in refused(guarded)
    caught_up(guarded)
    assert state(guarded.database, issued) is None
    assert guarded.issuance.issue(request_of(1)) == issued


@pytest.mark.parametrize("act", [revoke, suspend])
def test_one_last_act_that_is_lost_comes_into_force_at_the_start(
    guarded: Guarded, past: PutBack, act: Callable[[Guarded, IssuedCertificate], None]
) -> None:
    """As where a process died between journal and commit; whether it was acknowledged cannot be told."""
    issued = issue(guarded, 1)
    past.keep()
    act(guarded, issued)
    wanted = state(guarded.database, issued)
    past.put_back()
    assert state(guarded.database, issued) is None
    start(guarded)
    assert state(guarded.database, issued) is wanted is not None
    with guarded.database.read() as tx:
        (event,) = guarded.world.audit.recent(tx, limit=1)
    assert (event.name, event.actor) == ("backup.last_acts_put_right", "system:start")
    before = rows(guarded.database)
    start(guarded)
    assert rows(guarded.database) == before


def test_a_resumption_that_is_lost_is_not_repeated(guarded: Guarded, past: PutBack) -> None:
    issued = issue(guarded, 1)
    suspend(guarded, issued)
    past.keep()
    resume(guarded, issued)
    past.put_back()
    start(guarded)
    assert state(guarded.database, issued) is Change.SUSPEND


def test_a_number_of_a_lost_list_is_not_given_again(guarded: Guarded, past: PutBack) -> None:
    guarded.crls.publish("citizen-g1")
    past.keep()
    lost = [guarded.crls.publish("citizen-g1").number for _ in range(3)]
    past.put_back()
    start(guarded)
    assert guarded.crls.publish("citizen-g1").number > max(lost)


@pytest.mark.parametrize(("action", "dies_at"), [("revoke", "durable:1"), ("issue", "durable:1")])
def test_what_a_killed_process_left_keeps_nobody_from_starting(
    guarded: Guarded, tmp_path: Path, clock: FakeClock, action: str, dies_at: str
) -> None:
    issued = issue(guarded, 1)
    number = issued.serial if action == "revoke" else 2
    command = [sys.executable, "-m", "support.second_place_child", guarded.url, str(tmp_path), action, f"{number:x}"]
    done = subprocess.run([*command, dies_at, clock.now.isoformat()], cwd=TESTS, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert state(guarded.database, issued) is None
    start(guarded)
    assert state(guarded.database, issued) is (Change.REVOKE if action == "revoke" else None)
    assert not origin(guarded.database).is_closed


def test_a_certificate_whose_process_died_before_its_commit_is_the_one_that_counts(
    guarded: Guarded, tmp_path: Path, clock: FakeClock
) -> None:
    command = [sys.executable, "-m", "support.second_place_child", guarded.url, str(tmp_path), "issue", "1"]
    subprocess.run([*command, "durable:2", clock.now.isoformat()], cwd=TESTS, check=False, timeout=60)
    start(guarded)
    (*_, record) = guarded.journal.records(guarded.journal.start())
    issued = issue(guarded, 1)
    assert f"{issued.serial:x}" == record["serial"]
    (*_, last) = guarded.journal.records(guarded.journal.start())
    assert last == record  # nothing was signed a second time


class Slow:
    """A second place whose acts go on when they are told to."""

    def __init__(self, guarded: Guarded) -> None:
        self._journal = guarded.journal
        self.written, self.go_on = threading.Event(), threading.Event()

    def append(self, records: Sequence[Record]) -> None:
        self._journal.append(records)
        self.written.set()
        assert self.go_on.wait(30)


def test_an_act_that_is_between_journal_and_commit_is_waited_for(
    guarded: Guarded, database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    issued = issue(guarded, 1)
    slow = Slow(guarded)
    other = Guarded(database_url, tmp_path, guarded.database, clock, SeededRng(3), second_place=slow)
    acting = threading.Thread(target=revoke, args=(other, issued))
    acting.start()
    assert slow.written.wait(30)
    threading.Timer(0.2, slow.go_on.set).start()
    start(guarded)
    acting.join(30)
    with guarded.database.read() as tx:
        names = [event.name for event in guarded.world.audit.recent(tx, limit=3)]
    assert names == ["key.blocked", "certificate.revoked", "certificate.issued"]


def test_a_tree_that_was_signed_larger_is_refused_and_its_name_closed(guarded: Guarded, past: PutBack) -> None:
    sequencer = AuditSequencer(guarded.database, guarded.clock)
    sequencer.run_once()
    past.keep()
    guarded.crls.publish("citizen-g1")
    while sequencer.run_once():
        pass
    with guarded.database.read() as tx:
        signed = backup_store.tree_size(tx)
    start(guarded, signed_size=signed)
    past.put_back()
    assert f"one of {signed} was signed" in refused(guarded, signed_size=signed)
    caught_up(guarded)


def test_put_back_twice_is_noticed_twice(guarded: Guarded, past: PutBack) -> None:
    several = [issue(guarded, number) for number in range(4)]
    past.keep()
    for one in several[:2]:
        revoke(guarded, one)
    past.put_back()
    refused(guarded)
    caught_up(guarded)
    past.keep()
    for one in several[2:]:
        revoke(guarded, one)
    past.put_back()
    refused(guarded)
    caught_up(guarded)
    assert {state(guarded.database, one) for one in several} == {Change.REVOKE}


def test_more_was_lost_than_the_window_shows(guarded: Guarded, past: PutBack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca_core.backup.standing._WINDOWS", (2_000, 4_000))
    past.keep()
    guarded.issuance.issue_many([request_of(number) for number in range(8)])
    past.put_back()
    assert "all of its last" in refused(guarded) or "certificate" in refused(guarded)
    caught_up(guarded)


def test_restored_databases_start_whatever_was_left_out(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    several = [issue(guarded, number) for number in range(3)]
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    for one in several:
        revoke(guarded, one)
    issue(guarded, 7)
    guarded.backups.restore(
        tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR, without_journal=True
    )
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    before = rows(restored)
    start(again)
    assert rows(restored) == before
    assert [state(restored, one) for one in several] == [None] * 3


def test_a_restore_that_is_unfinished_is_no_case_for_it(guarded: Guarded, clock: FakeClock) -> None:
    with guarded.database.write() as tx:
        backup_store.mark(tx, "0123abcd", clock())
    with pytest.raises(RestoreUnfinished):
        start(guarded)
    with pytest.raises(BackupRefused):
        guarded.backups.catch_up(actor=ACTOR)


def test_where_the_journal_is_away_the_start_does_not_wait_for_it(guarded: Guarded, tmp_path: Path) -> None:
    issued = issue(guarded, 1)
    (tmp_path / "second").rename(tmp_path / "away")
    with capture_logs() as said:
        start(guarded)
        (tmp_path / "second").mkdir()
        start(guarded)
    assert [line["event"] for line in said] == ["second_place_not_compared"] * 2
    shutil.rmtree(tmp_path / "second")
    (tmp_path / "away").rename(tmp_path / "second")
    revoke(guarded, issued)
    with capture_logs() as said:
        start(guarded)
    assert said == []


def test_the_journals_first_files_may_be_gone_where_an_older_backup_is_named(
    guarded: Guarded, past: PutBack, tmp_path: Path
) -> None:
    several = [issue(guarded, number) for number in range(2)]
    guarded.journal._segment_bytes = 1
    issue(guarded, 5)
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    past.keep()
    for one in several:
        revoke(guarded, one)
    past.put_back()
    refused(guarded)
    (tmp_path / "second" / "00000001.log").unlink()
    with pytest.raises(JournalFault, match="segment 1 is missing"):
        guarded.backups.catch_up(actor=ACTOR)
    refused(guarded)
    guarded.backups.catch_up(actor=ACTOR, after=tmp_path / "backup")
    start(guarded)
    assert {state(guarded.database, one) for one in several} == {Change.REVOKE}
