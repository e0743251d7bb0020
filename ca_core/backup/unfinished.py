"""The folder that a backup is made in: nobody takes it for a backup, and whoever was killed leaves it to the next."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from ca_core.backup.copies import sqlite_path
from ca_core.kernel.rng import Rng

_LOCK = "lock"


class UnfinishedBackup:
    """A folder of this process's own beside the target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The files in it, which the manifest is of."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(name) for name in found if str(name) != _LOCK)

    def become(self, target: Path) -> None:
        """It is the backup from here on, durably. The lock goes last: a folder without one is anybody's to take away,
        and in a backup it disturbs nobody."""
        sync_folder(self.folder)
        os.rename(self.folder, target)
        (target / _LOCK).unlink()
        sync_folder(target)
        sync_folder(target.parent)


@contextmanager
def unfinished_backup(target: Path, rng: Rng) -> Iterator[UnfinishedBackup]:
    """A new folder, gone at the end unless it became the target.

    Its name is nobody else's, since a `pg_dump` may outlive the process that started it. What was left beside the
    target by processes that are no more is taken away first; each holds a lock for as long as it lives.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    take_away_left(target)
    folder = target.with_name(f".{target.name}.{rng(8).hex()}.partial")
    folder.mkdir(mode=0o700)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield UnfinishedBackup(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sync_folder(folder: Path) -> None:
    """Its names are durable when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drill_place(url: str) -> Path:
    """What the folders of drills are named after: beside a SQLite database, where its copies have room, else in the
    temporary folder."""
    if url.startswith("sqlite"):
        return sqlite_path(url).with_name(f"{sqlite_path(url).name}.drill")
    return Path(tempfile.gettempdir()) / "citizenid-drill"


def take_away_left(target: Path) -> None:
    """What processes that are no more left beside it. Only folders of this process's user: the temporary folder is
    everybody's."""
    for left in target.parent.glob(f".{escape(target.name)}.*.partial"):
        with suppress(FileNotFoundError):  # another takes it away
            found = left.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                _take_away(left)


def _take_away(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:  # it goes on
        pass
    finally:
        os.close(lock)
