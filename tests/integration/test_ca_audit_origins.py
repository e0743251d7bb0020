"""A restored database never signs a second tree under the log's name: the name is closed, and another is begun."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import delete

from ca_core.audit import (
    AuditEvent,
    AuditSequencer,
    LogClosed,
    LogForked,
    LogOpen,
    NoteRefused,
    Outcome,
    ProofRefused,
    tree_store,
    verify_log,
)
from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.folder import export_log, open_log_files
from ca_core.audit.log_key import SoftwareLogKey, last_remembered
from ca_core.audit.note import parse_note
from ca_core.audit.offline import verify_copy
from ca_core.audit.origins import LogOrigins, current_origin, last_known, names_through, origin_name
from ca_core.audit.published import PublishedLog
from ca_core.audit.publisher import CheckpointPublisher
from ca_core.backup import store as backup_store
from ca_core.backup.replay import replay
from ca_core.kernel.database import Database, Statement, sqlite_url
from ca_core.kernel.second_place import Record, SecondPlaceUnavailable
from support.fakes import FakeClock, SeededRng
from support.postgresql import PostgresqlServer
from support.second_place import Guarded

NAME = "pki.example/pki/log"
ACTOR = "operator:1"
PASSPHRASE = b"a passphrase of tests"


class CountedKey(SoftwareLogKey):
    """Counts what it signs."""

    signed = 0

    def sign(self, octets: bytes) -> bytes:
        self.signed += 1
        return super().sign(octets)


def key_of(path: Path, number: int) -> CountedKey:
    opened = CountedKey.open(path, PASSPHRASE, origin_name(NAME, number))
    assert isinstance(opened, CountedKey)
    return opened


@dataclass
class Published:
    """A guarded deployment, and the log over its database."""

    guarded: Guarded
    key: CountedKey
    number: int = 1

    def publish(self) -> Checkpoint | None:
        sequencer = AuditSequencer(self.guarded.database, self.guarded.clock)
        while sequencer.run_once():
            pass
        publisher = CheckpointPublisher(self.guarded.database, self.key, self.guarded.clock, number=self.number)
        return publisher.publish_due()

    def grow(self, name: str) -> Checkpoint:
        with self.guarded.database.write() as tx:
            self.guarded.world.audit.append(tx, AuditEvent(name=name, actor=ACTOR, outcome=Outcome.OK))
        published = self.publish()
        assert published is not None
        return published

    def begin(self, number: int) -> None:
        world, remembered = self.guarded.world, last_remembered(self.guarded.folder / "old.pem")
        origins = LogOrigins(self.guarded.database, world.audit, self.guarded.clock, self.guarded.journal)
        last = last_known(self.guarded.database, NAME, remembered)
        self.key, self.number = key_of(self.guarded.folder / f"old-{number}.pem", number), number
        origins.begin(number, self.key.verifier_key, old_origin=NAME, last=last, actor=ACTOR)


@pytest.fixture
def live(database: Database, database_url: str, tmp_path: Path, clock: FakeClock, rng: SeededRng) -> Published:
    guarded = Guarded(database_url, tmp_path, database, clock, rng)
    guarded.found()
    return Published(guarded, key_of(tmp_path / "old.pem", 1))


@pytest.fixture
def target_url(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if database.is_embedded:
        return sqlite_url(tmp_path / "restored" / "database.db")
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.create_database("citizenid_restored")


@pytest.fixture
def restored(live: Published, target_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[Published]:
    """From a backup that is older than the last checkpoint that was signed."""
    live.grow("test.before")
    live.guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    live.grow("test.lost")
    live.guarded.backups.restore(tmp_path / "backup", target_url, key_folder=None, actor=ACTOR)
    database = Database.open(target_url)
    guarded = Guarded(target_url, tmp_path, database, clock, SeededRng(5))
    yield Published(guarded, key_of(tmp_path / "old.pem", 1))
    database.dispose()


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_a_restored_database_signs_nothing_under_the_name_it_had(
    restored: Published, tmp_path: Path, memory: str
) -> None:
    if memory == "lost":
        (tmp_path / "old.pem.checkpoint").unlink()
    before = last_remembered(tmp_path / "old.pem")
    with pytest.raises(LogClosed) as refused:
        restored.grow("test.after")
    assert "citizenid audit new-log" in refused.value.detail
    assert (restored.key.signed, last_remembered(tmp_path / "old.pem")) == (0, before)


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_a_new_log_goes_on_over_the_restored_tree_and_tells_where_the_old_one_ended(
    live: Published, restored: Published, tmp_path: Path, memory: str
) -> None:
    lost = parse_checkpoint(parse_note(last_remembered(tmp_path / "old.pem") or b"").text)
    if memory == "lost":
        (tmp_path / "old.pem.checkpoint").unlink()
    stored = PublishedLog(restored.guarded.database).checkpoint()
    kept = parse_checkpoint(parse_note(stored or b"").text)
    assert kept.size < lost.size
    old = Published(restored.guarded, restored.key)
    restored.begin(2)
    published = restored.publish()
    assert published is not None
    assert (published.origin, published.size > kept.size) == (f"{NAME}/2", True)
    with pytest.raises(LogClosed):
        old.grow("test.after")
    assert old.key.signed == 0
    later = restored.grow("test.more")
    with restored.guarded.database.read() as tx:
        (begun,) = [event for event in restored.guarded.world.audit.recent(tx) if event.name == "audit.log_begun"]
    last = lost if memory == "kept" else kept
    assert f'"old_size":{last.size}' in begun.detail
    assert last.root_hash.hex() in begun.detail
    report = verify_log(restored.guarded.database, restored.key.verifier_key)
    assert (report.checkpoints, report.of_other_logs, report.chained) == (3, 1, later.size)
    assert verify_log(restored.guarded.database, live.key.verifier_key).of_other_logs == 2
    log = PublishedLog(restored.guarded.database)
    export_log(log, tmp_path / "copy")
    assert verify_copy(open_log_files(tmp_path / "copy"), restored.key.verifier_key).size == later.size
    with pytest.raises(NoteRefused):
        verify_copy(open_log_files(tmp_path / "copy"), live.key.verifier_key)
    export_log(PublishedLog(live.guarded.database), tmp_path / "old-copy")
    with pytest.raises(ProofRefused):
        export_log(log, tmp_path / "old-copy")


def test_a_new_log_is_begun_once_after_a_restore_and_never_without(live: Published, restored: Published) -> None:
    with pytest.raises(LogOpen):
        live.begin(2)
    restored.begin(2)
    with restored.guarded.database.read() as tx:
        rows = backup_store.row_counts(tx)
    for number in (2, 3):
        with pytest.raises(LogOpen):
            restored.begin(number)
    with restored.guarded.database.read() as tx:
        assert backup_store.row_counts(tx) == rows


def test_a_name_is_never_taken_twice_although_an_older_backup_is_restored_again(
    live: Published, restored: Published, tmp_path: Path, clock: FakeClock
) -> None:
    restored.begin(2)
    restored.grow("test.after")
    database = restored.guarded.database
    with database.read() as tx:
        authorities = frozenset(backup_store.authorities(tx))
    journal = live.guarded.journal
    report = replay(database, lambda: journal.records(journal.start()), authorities, clock())
    assert report.audit_origins == 0
    with database.read() as tx:
        assert (current_origin(tx).number, current_origin(tx).is_closed) == (2, False)
    with live.guarded.database.read() as tx:
        authorities = frozenset(backup_store.authorities(tx))
    # the place of the first log, as an older backup would have it
    report = replay(live.guarded.database, lambda: journal.records(journal.start()), authorities, clock())
    assert report.audit_origins == 1
    with live.guarded.database.read() as tx:
        assert (current_origin(tx).number, current_origin(tx).is_closed) == (2, True)
    with pytest.raises(LogOpen):
        live.begin(2)
    live.begin(3)
    assert live.grow("test.again").origin == f"{NAME}/3"


def test_no_log_is_begun_that_the_second_place_does_not_know(restored: Published, tmp_path: Path) -> None:
    class Away:
        def append(self, records: Sequence[Record]) -> None:
            raise SecondPlaceUnavailable("away")

    key = key_of(tmp_path / "old-2.pem", 2).verifier_key
    guarded = restored.guarded
    with pytest.raises(SecondPlaceUnavailable):
        LogOrigins(guarded.database, guarded.world.audit, guarded.clock, Away()).begin(
            2, key, old_origin=NAME, last=None, actor=ACTOR
        )
    with guarded.database.read() as tx:
        assert current_origin(tx).number == 1


def test_a_new_log_does_not_stand_over_a_tree_that_denies_the_old_ones_checkpoints(restored: Published) -> None:
    restored.begin(2)
    tree_denied = Checkpoint(origin=NAME, size=1, root_hash=b"\x01" * 32)
    signature = parse_note(PublishedLog(restored.guarded.database).checkpoint() or b"").signatures[0].line
    with restored.guarded.database.write() as tx:
        tx.execute(Statement(delete(tree_store.checkpoints)))
        stored = tree_store.StoredCheckpoint(1, f"{tree_denied.text}\n{signature}")
        tree_store.add_checkpoint(tx, stored, restored.guarded.clock())
    with pytest.raises(LogForked):
        restored.publish()
    assert restored.key.signed == 0


def test_names_of_logs_are_numbered_from_the_second_on() -> None:
    assert (origin_name(NAME, 1), origin_name(NAME, 2)) == (NAME, f"{NAME}/2")
    assert names_through(NAME, 3) == names_through(f"{NAME}/7", 3) == {NAME, f"{NAME}/2", f"{NAME}/3"}
    assert names_through(NAME, 0) == frozenset()
