"""Backups and restores on a full volume, and by a clock an hour back: whole or not there, nothing un-revoked."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from ca_core.backup import service as backup_service
from ca_core.backup.errors import BackupRefused
from ca_core.backup.service import verify_restored
from ca_core.issuance import CertificateStore, IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.revocation import Change, RevocationReason, StatusLog
from support.bounded_files import files_bounded
from support.fakes import FakeClock, SeededRng
from support.second_place import Guarded, request_of

ACTOR = "operator:1"


def revoke(guarded: Guarded, issued: IssuedCertificate) -> None:
    guarded.revocation.revoke(guarded.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)


def is_revoked(database: Database, issued: IssuedCertificate) -> bool:
    with database.read() as tx:
        found = CertificateStore().find(tx, issued.authority_id, issued.serial)
        assert found is not None
        latest = StatusLog().latest(tx, found.certificate_id)
    return latest is not None and latest.change is Change.REVOKE


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_backup_that_finds_no_room_is_not_there_at_all(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = guarded.issuance.issue(request_of(1))
    target = tmp_path / "backup"
    for size in (0, 5_000, 40_000):
        with files_bounded(size), pytest.raises(BackupRefused):
            guarded.backups.create(target, actor=ACTOR)
        assert not target.exists()
    for owner, name in ((shutil, "copyfile"), (backup_service, "write_manifest"), (os, "rename")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, no_room)
            with pytest.raises(BackupRefused, match="No space left"):
                guarded.backups.create(target, actor=ACTOR)
        assert not target.exists()
    revoke(guarded, issued)
    guarded.backups.create(target, actor=ACTOR)
    guarded.backups.restore(target, target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
    assert is_revoked(restored, issued)


def test_a_restore_that_finds_no_room_goes_on_when_there_is(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = guarded.issuance.issue(request_of(1))
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    revoke(guarded, issued)

    def restore() -> None:
        guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", no_room)
        with pytest.raises(BackupRefused, match="No space left"):
            restore()
    if restored.is_embedded:  # PostgreSQL's files are its server's
        for size in (0, 5_000, 40_000):
            with files_bounded(size), pytest.raises(BackupRefused):
                restore()
    restore()
    verify_restored(restored)
    assert is_revoked(restored, issued)


def test_a_restore_by_a_clock_an_hour_back_un_revokes_nothing_and_repeats_no_number(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    several = [guarded.issuance.issue(request_of(number)) for number in range(3)]
    revoke(guarded, several[0])
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    clock.advance(7_200)
    revoke(guarded, several[1])
    numbers = [guarded.crls.publish("citizen-g1").number for _ in range(2)]
    later = guarded.issuance.issue(request_of(9))
    clock.advance(-3_600)
    guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
    assert [is_revoked(restored, one) for one in (*several, later)] == [True, True, False, False]
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    record = again.crls.publish("citizen-g1")
    assert (record.number > max(numbers), record.entries) == (True, 2)
    serials = {one.serial for one in (*several, later)}
    assert again.issuance.issue(request_of(50)).serial not in serials
