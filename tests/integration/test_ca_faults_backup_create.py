"""`citizenid backup create` killed at each step, or with its database gone under it: a backup is whole or not there."""

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from ca_core.audit import AuditLog
from ca_core.backup import copies, unfinished
from ca_core.backup import drill as backup_drill
from ca_core.backup import service as backup_service
from ca_core.backup.copies import sqlite_path, take_copy
from ca_core.backup.drill import run_drill
from ca_core.backup.errors import BackupDamaged, BackupRefused, TargetNotEmpty
from ca_core.backup.manifest import MANIFEST, file_digest, read_manifest
from ca_core.backup.service import verify_restored
from ca_core.backup.unfinished import drill_place, take_away_left, unfinished_backup
from ca_core.issuance import CertificateStore
from ca_core.kernel import database as kernel
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.kernel.rng import system_rng
from ca_core.revocation import RevocationReason
from support.bounded_files import files_bounded
from support.dying import Steps, killed_before
from support.fakes import FakeClock, SeededRng
from support.postgresql import PostgresqlServer, postgresql_server
from support.second_place import Guarded, request_of
from support.tables import create_tables

ACTOR = "operator:1"
PASSWORD = "a:pass\\word of tests"
STEPS: Steps = (
    (backup_service, ("settled_place", "take_copy", "write_manifest"), True),
    (shutil, ("copyfile",), False),
    (os, ("rename",), True),
    (unfinished, ("sync_folder",), False),
    (kernel._Unit, ("__exit__",), True),
    (kernel._Deferred, ("__exit__",), True),
)


Scratches = tuple[str | None, str | None]


@pytest.fixture
def scratches(
    guarded: Guarded, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Scratches:
    """Where two drills restore into; the temporary folder is this test's own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    if guarded.url.startswith("sqlite"):
        return None, None
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.create_database("drill_one"), server.create_database("drill_two")


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_digest(path) for path in folder.rglob("*") if path.is_file()}


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial"))


def restores(guarded: Guarded, backup: Path, target_url: str) -> None:
    guarded.backups.restore(backup, target_url, key_folder=guarded.folder / "keys2", actor=ACTOR)


def test_kill_9_at_each_step(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is no backup, the earlier one is as it was, and the next run is whole and takes the rest away."""
    guarded.backups._rng = system_rng  # a child has folders of its own names
    issued = guarded.issuance.issue(request_of(1))
    place, temporary = tmp_path / "backups", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    guarded.backups.create(place / "earlier", actor=ACTOR)
    earlier, target = digests(place / "earlier"), place / "backup"
    guarded.revocation.revoke(guarded.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    count, whole, unnamed = 0, 0, 0
    while killed_before(count := count + 1, lambda: lambda: guarded.backups.create(target, actor=ACTOR), STEPS):
        assert count < 60
        for left in left_over(place):
            if not (left / MANIFEST).exists():
                unnamed += 1
                with pytest.raises(BackupDamaged, match=r"never finished: .*citizenid backup create"):
                    restores(guarded, left, target_url)
        assert not (tmp_path / "keys2").exists()
        assert list(temporary.iterdir()) == []
        if target.exists():
            whole += 1
            read_manifest(target)
            shutil.rmtree(target)
    read_manifest(target)
    assert left_over(place) == []
    assert digests(place / "earlier") == earlier
    assert count > 12 and unnamed > 5 and whole == 3  # renamed, and not yet durable
    restores(guarded, target, target_url)
    verify_restored(restored)
    with restored.read() as tx:
        assert CertificateStore().find(tx, issued.authority_id, issued.serial) is not None


def test_two_runs_at_once_leave_each_other_alone(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, original = tmp_path / "backup", take_copy

    def overtaken(url: str, file: Path) -> None:
        monkeypatch.setattr(backup_service, "take_copy", original)
        guarded.backups.create(target, actor=ACTOR)
        original(url, file)

    monkeypatch.setattr(backup_service, "take_copy", overtaken)
    with pytest.raises(BackupRefused, match="not empty"):
        guarded.backups.create(target, actor=ACTOR)
    read_manifest(target)
    assert left_over(tmp_path) == []


def test_no_room_leaves_no_octet_behind(guarded: Guarded, tmp_path: Path) -> None:
    guarded.backups.create(tmp_path / "earlier", actor=ACTOR)
    earlier = digests(tmp_path / "earlier")
    with files_bounded(40_000), pytest.raises(BackupRefused):
        guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    assert (left_over(tmp_path), (tmp_path / "backup").exists()) == ([], False)
    assert digests(tmp_path / "earlier") == earlier


def gone_in_the_middle(guarded: Guarded, folder: Path, spoil: Callable[[], None], moment: str) -> str:
    """Why the backup was refused whose database goes away before that step. Nothing of it is left."""
    original = getattr(backup_service, moment)

    def late(*arguments: object) -> object:
        spoil()
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup_service, moment, late)
        with pytest.raises((BackupRefused, Unavailable)) as refused:
            guarded.backups.create(folder / "backup", actor=ACTOR)
    assert left_over(folder) == []
    assert not (folder / "backup").exists()
    return refused.value.detail


@pytest.mark.parametrize("moment", ["settled_place", "take_copy"])
def test_a_file_that_becomes_unreadable(
    sqlite_database_url: str, tmp_path: Path, clock: FakeClock, rng: SeededRng, moment: str
) -> None:
    database = Database.open(sqlite_database_url)
    guarded = Guarded(sqlite_database_url, tmp_path, database, clock, rng)
    guarded.found()
    guarded.backups.create(tmp_path / "earlier", actor=ACTOR)
    earlier = digests(tmp_path / "earlier")
    database.dispose()  # its log goes into the file
    path = sqlite_path(sqlite_database_url)
    octets = path.read_bytes()

    def spoil() -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(octets[:4096] + b"\x55" * (len(octets) - 4096))

    assert gone_in_the_middle(guarded, tmp_path, spoil, moment)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(octets)
    assert digests(tmp_path / "earlier") == earlier
    read_manifest(tmp_path / "earlier")
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    read_manifest(tmp_path / "backup")


def test_a_file_that_another_keeps_locked(
    sqlite_database_url: str, tmp_path: Path, clock: FakeClock, rng: SeededRng, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=50").close()

    guarded = Guarded(sqlite_database_url, tmp_path, Database.open(sqlite_database_url), clock, rng)
    guarded.found()
    monkeypatch.setattr(kernel, "_configure_sqlite", impatient)
    other = sqlite3.connect(sqlite_path(sqlite_database_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    assert (left_over(tmp_path), (tmp_path / "backup").exists()) == ([], False)
    other.execute("ROLLBACK")
    other.close()
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    guarded.database.dispose()


def test_a_server_that_stops(tmp_path: Path, clock: FakeClock, rng: SeededRng) -> None:
    with postgresql_server() as server:
        url = server.create_database("stops")
        create_tables(url)
        guarded = Guarded(url, tmp_path, Database.open(url), clock, rng)
        guarded.found()
        guarded.backups.create(tmp_path / "earlier", actor=ACTOR)
        earlier = digests(tmp_path / "earlier")

        def cut_off() -> None:
            with server.connect() as connection:
                connection.execute("ALTER DATABASE stops ALLOW_CONNECTIONS false")
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'stops'")

        for moment in ("settled_place", "take_copy", "write_manifest"):
            assert gone_in_the_middle(guarded, tmp_path, cut_off, moment)
            with server.connect() as connection:
                connection.execute("ALTER DATABASE stops ALLOW_CONNECTIONS true")
        assert digests(tmp_path / "earlier") == earlier
        guarded.backups.create(tmp_path / "backup", actor=ACTOR)
        read_manifest(tmp_path / "backup")
        shutil.rmtree(tmp_path / "backup")
        detail = gone_in_the_middle(guarded, tmp_path, lambda: server.process.kill(), "take_copy")
        assert "pg_dump" in detail
        guarded.database.dispose()


def test_a_password_is_in_no_file_even_where_the_process_is_killed(
    postgresql_database_url: str, postgresql_server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    rules = postgresql_server.socket_folder / "data" / "pg_hba.conf"
    kept = rules.read_text()
    rules.write_text(f"local all careful scram-sha-256\n{kept}")
    with postgresql_server.connect() as connection:
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE ROLE careful LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    try:
        url = make_url(postgresql_database_url).set(username="careful", password=PASSWORD)
        text = url.render_as_string(hide_password=False)
        wrong = url.set(password="wrong").render_as_string(hide_password=False)
        take_copy(text, tmp_path / "dump.sql")
        assert "CREATE TABLE public.certificates" in (tmp_path / "dump.sql").read_text()
        with pytest.raises(BackupRefused, match="pg_dump"):
            take_copy(wrong, tmp_path / "none.sql")
        assert killed_before(1, lambda: lambda: take_copy(text, tmp_path / "again.sql"), ((copies, ("_run",), False),))
        assert [path.name for path in tmp_path.rglob("*")] == ["dump.sql"]
        assert PASSWORD not in (tmp_path / "dump.sql").read_text()
    finally:
        rules.write_text(kept)
        with postgresql_server.connect() as connection:
            connection.execute("DROP ROLE careful")
            connection.execute("SELECT pg_reload_conf()")


def test_a_drill_that_was_killed_says_what_stands_in_the_way(
    guarded: Guarded, tmp_path: Path, target_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def drill() -> object:
        return run_drill(guarded.backups, guarded.url, target_url, clock=clock, actor=ACTOR)

    guarded.backups._rng = system_rng  # no two backups of one number
    assert killed_before(1, lambda: drill, ((backup_service, ("replay",), False),))
    with pytest.raises(TargetNotEmpty, match="empty it, or name another"):
        drill()


@pytest.mark.parametrize("moment", ["settled_place", "put_copy", "replay", "_compare"])
@pytest.mark.parametrize("next_run", ["create", "drill"])
def test_what_a_killed_drill_leaves_nobody_else_reads_and_the_next_run_takes_away(
    guarded: Guarded, tmp_path: Path, clock: FakeClock, scratches: Scratches, moment: str, next_run: str
) -> None:
    """It is a copy of personal data."""
    guarded.backups._rng = system_rng

    def drill(scratch: str | None) -> object:
        return run_drill(guarded.backups, guarded.url, scratch, clock=clock, actor=ACTOR)

    before = set(tmp_path.rglob("*"))
    first, second = scratches
    owner = backup_drill if moment == "_compare" else backup_service
    assert killed_before(1, lambda: lambda: drill(first), ((owner, (moment,), False),))
    (left,) = left_over(drill_place(guarded.url).parent)
    assert (moment == "settled_place") == (list(left.rglob("database.*")) == [])
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert all(left in (path, *path.parents) for path in set(tmp_path.rglob("*")) - before - {tmp_path / "temporary"})
    if next_run == "create":
        guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    else:
        drill(second)
    assert left_over(drill_place(guarded.url).parent) == []


def test_a_drill_takes_away_no_folder_of_one_that_goes_on_nor_what_is_none(
    guarded: Guarded, tmp_path: Path, scratches: Scratches, clock: FakeClock
) -> None:
    """The temporary folder is everybody's: a link in it would lead anywhere."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    place = drill_place(guarded.url)
    link, file = (place.with_name(f".{place.name}.{name}.partial") for name in ("link", "file"))
    link.symlink_to(kept)
    file.write_text("kept")
    with guarded.backups.drill_folder() as other:
        run_drill(guarded.backups, guarded.url, scratches[0], clock=clock, actor=ACTOR)
        assert set(left_over(place.parent)) == {link, file, other}
    assert sorted(path.name for path in kept.iterdir()) == ["file"]
    assert set(left_over(place.parent)) == {link, file}


def test_another_that_begins_takes_away_none_that_is_about_to_be_the_backup(
    tmp_path: Path, rng: SeededRng, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backup"
    rename = os.rename

    def slowly(before: Path, after: Path) -> None:
        take_away_left(target)
        rename(before, after)
        take_away_left(target)

    with unfinished_backup(target, rng) as made:
        (made.folder / "file").write_text("kept")
        monkeypatch.setattr(os, "rename", slowly)
        made.become(target)
    assert [path.name for path in target.iterdir()] == ["file"]
    assert left_over(tmp_path) == []


def test_a_drill_of_postgresql_needs_a_scratch_place(tmp_path: Path, clock: FakeClock, rng: SeededRng) -> None:
    service = backup_service.BackupService(
        "postgresql+psycopg://nobody@localhost/none",
        journal=None,
        key_folder=None,
        audit=AuditLog(clock, rng),
        clock=clock,
        rng=rng,
    )
    with pytest.raises(BackupRefused, match="--scratch"):
        run_drill(service, "postgresql+psycopg://nobody@localhost/none", None, clock=clock, actor=ACTOR)
