"""Copies of a whole database: SQLite's online copy, PostgreSQL's own programs."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from ca_core.backup.errors import BackupRefused, TargetNotEmpty

SQLITE_FILE = "database.sqlite"
POSTGRESQL_FILE = "database.sql"
_TIMEOUT_S = 6 * 3600


def copy_name(url: str) -> str:
    """The file that a copy of this database is."""
    return SQLITE_FILE if url.startswith("sqlite") else POSTGRESQL_FILE


def sqlite_path(url: str) -> Path:
    """The file of a SQLite database."""
    return Path(make_url(url).database or "")


def take_copy(url: str, target: Path) -> None:
    """One moment of the whole database as a file, durable; nobody else waits. Raises: BackupRefused."""
    if url.startswith("sqlite"):
        _copy_sqlite(sqlite_path(url), target)
    else:
        with _connection(url) as (conninfo, passed):
            command = ["pg_dump", "--dbname", conninfo, "--no-owner", "--no-privileges", "--file", str(target)]
            _run(command, passed)
    _sync(target)


def put_copy(copy: Path, url: str, marker_sql: str) -> None:
    """The copy in an empty place, together with what `marker_sql` inserts: both or neither.

    Raises: TargetNotEmpty, BackupRefused.
    """
    if not url.startswith("sqlite"):
        with _connection(url) as (conninfo, passed):
            _run(
                [
                    *("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
                    *("--output=/dev/null", "--dbname", conninfo, "--file", str(copy), "--command", marker_sql),
                ],
                passed,
            )
        return
    target = sqlite_path(url)
    verify_nothing_there(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.restoring")
    temporary.unlink(missing_ok=True)
    _copy_sqlite(copy, temporary)
    try:
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            connection.execute(marker_sql)
    except sqlite3.Error as error:
        raise BackupRefused(f"SQLite: {error}") from error
    _sync(temporary)
    temporary.rename(target)
    _sync(target.parent)


def verify_nothing_there(target: Path) -> None:
    """Accepts a place without a SQLite database and without what SQLite keeps beside one: where a killed process left
    that, it would be played into whatever database takes the name. Raises: TargetNotEmpty."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path = target.with_name(f"{target.name}{suffix}")
        if path.exists():
            raise TargetNotEmpty(f"{path} is there already: empty it, or name another")


def _copy_sqlite(source: Path, target: Path) -> None:
    """All pages in one step: a reader of one moment, which in WAL mode keeps nobody from writing."""
    if not source.is_file():
        raise BackupRefused(f"{source}: no such file")
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode=DELETE").close()
            row = writer.execute("PRAGMA quick_check(1)").fetchone()
            if row != ("ok",):
                raise BackupRefused("the copy does not pass SQLite's own check")
    except sqlite3.Error as error:
        raise BackupRefused(f"SQLite: {error}") from error


@contextmanager
def _connection(url: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A libpq connection string, and the file descriptors that its reader inherits.

    A password goes by a file in memory, so that no process that is killed leaves it in one on a disk.
    """
    parsed = make_url(url)
    query, descriptor = dict(parsed.query), None
    if parsed.password:
        descriptor = os.memfd_create("passfile")
        escaped = parsed.password.replace("\\", "\\\\").replace(":", "\\:")
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"*:*:*:*:{escaped}\n".encode())
        query["passfile"] = f"/proc/self/fd/{descriptor}"
    try:
        bare = parsed.set(drivername="postgresql", password=None, query=query)
        yield bare.render_as_string(hide_password=False), () if descriptor is None else (descriptor,)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _run(command: Sequence[str], passed: Sequence[int]) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise BackupRefused(f"{command[0]} is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - our own command line, no shell
            [program, *command[1:]], capture_output=True, check=False, timeout=_TIMEOUT_S, pass_fds=passed
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupRefused(f"{command[0]}: {type(error).__name__}") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise BackupRefused(f"{command[0]}: {lines[0][:200]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
