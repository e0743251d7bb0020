"""Backing up, restoring, and the drill that proves both."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.origins import close_origin
from ca_core.audit.service import AuditLog
from ca_core.backup import store
from ca_core.backup.copies import copy_name, put_copy, sqlite_path, take_copy, verify_nothing_there
from ca_core.backup.errors import BackupExists, BackupRefused, DatabaseBehind, RestoreUnfinished, TargetNotEmpty
from ca_core.backup.journal import Journal
from ca_core.backup.manifest import Manifest, file_digest, read_manifest, write_manifest
from ca_core.backup.model import Place
from ca_core.backup.quiet import settled_place
from ca_core.backup.replay import ReplayReport, replay
from ca_core.backup.unfinished import (
    UnfinishedBackup,
    drill_place,
    sync_folder,
    take_away_left,
    unfinished_backup,
)
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.kernel.second_place import Record, SecondPlaceUnavailable

_KEYS = "keys"
BEHIND = "behind:"
"""Begins the mark of a database that the second place is ahead of, where else a backup's id stands."""
ADVICE = "it was put back to an earlier state: stop every role, then citizenid backup catch-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What a restore did. without_journal: nothing was replayed, which un-revokes whatever was revoked since."""

    backup_id: str
    replay: ReplayReport
    without_journal: bool


class BackupService:
    """Backups of one deployment. key_folder: of encrypted key files; None where keys are in a token, which has its own
    way of being backed up. journal: the second place, None where the settings do without."""

    def __init__(
        self,
        url: str,
        *,
        journal: Journal | None,
        key_folder: Path | None,
        audit: AuditLog,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._url = url
        self._journal = journal
        self._key_folder = key_folder
        self._audit = audit
        self._clock = clock
        self._rng = rng

    @contextmanager
    def drill_folder(self) -> Iterator[Path]:
        """A folder for the copies of a drill, gone at the end; where the process is killed, at the next drill or
        backup. Raises: BackupRefused."""
        with _files_refused(), unfinished_backup(drill_place(self._url), self._rng) as unfinished:
            yield unfinished.folder

    def create(self, target: Path, *, actor: str) -> Manifest:
        """A consistent backup in a new folder, whole or not there at all. Nobody waits for it.

        1. The journal's place, once every act that was written before it is in the database or will never be. 2. The
        database as of one later moment. 3. The keys' encrypted files. 4. The manifest with every file's digest. 5. The
        audit event. 6. The folder gets its name.
        Raises: BackupExists; BackupRefused, also where there is no room; SecondPlaceUnavailable; Unavailable.
        """
        with _files_refused():
            return self._create(target, actor)

    def _create(self, target: Path, actor: str) -> Manifest:
        if target.exists():
            raise BackupExists(str(target))
        take_away_left(drill_place(self._url))
        database = Database.open(self._url)
        try:
            with unfinished_backup(target, self._rng) as unfinished:
                manifest = self._fill(unfinished, database)
                with database.write() as tx:
                    detail: dict[str, str | int | bool] = {"files": len(manifest.files)}
                    self._audit.append(tx, _event("backup.created", actor, manifest.backup_id, detail))
                unfinished.become(target)
        finally:
            database.dispose()
        return manifest

    def _fill(self, unfinished: UnfinishedBackup, database: Database) -> Manifest:
        folder, backup_id, taken_at = unfinished.folder, self._rng(16).hex(), self._clock()
        place = None if self._journal is None else settled_place(database, self._journal)
        with database.snapshot() as tx:
            counts = store.row_counts(tx)
        take_copy(self._url, folder / copy_name(self._url))
        kept_keys = self._copy_keys(folder / _KEYS)
        manifest = Manifest(
            backup_id=backup_id,
            taken_at=taken_at,
            dialect=database.dialect_name,
            files={name: file_digest(folder / name) for name in unfinished.names()},
            place=place,
            counts=counts,
            keys=kept_keys,
        )
        write_manifest(folder, manifest)
        return manifest

    def restore(
        self, backup: Path, url: str, *, key_folder: Path | None, actor: str, without_journal: bool = False
    ) -> RestoreReport:
        """The backup in an empty place, brought up to the journal. A restore that was cut off goes on when repeated.

        1. Every file's digest. 2. The target is empty, or holds this very restore, unfinished. 3. Keys, then the
        database with the mark that nothing may be served from it. 4. The journal. 5. The audit event; the audit
        log's name is closed, since its key would sign a second tree under it; the mark goes.
        without_journal: dangerous; leaves out what was acknowledged after the backup.
        Raises: BackupDamaged, TargetNotEmpty, JournalFault; BackupRefused, also where there is no room.
        """
        with _files_refused():
            return self._restore(backup, url, key_folder=key_folder, actor=actor, without_journal=without_journal)

    def _restore(
        self, backup: Path, url: str, *, key_folder: Path | None, actor: str, without_journal: bool
    ) -> RestoreReport:
        manifest = read_manifest(backup)
        records, settled = self._records(manifest, without_journal), self._journal_records()
        if manifest.dialect != ("sqlite" if url.startswith("sqlite") else "postgresql"):
            raise BackupRefused(f"a backup of {manifest.dialect} goes into no other kind of database")
        database = Database.open(url)
        try:
            if not _holds_unfinished(database, url, manifest.backup_id):
                self._put_keys(backup / _KEYS, key_folder)
                put_copy(backup / copy_name(url), url, _marker(url, manifest.backup_id))
            with database.read() as tx:
                authorities = frozenset(store.authorities(tx))
            if records is None:
                report = ReplayReport()
            else:
                place = records
                report = replay(database, lambda: self._after(place), authorities, self._clock())
            done = RestoreReport(backup_id=manifest.backup_id, replay=report, without_journal=records is None)
            self._complete(database, "backup.restored", actor, done, settled)
        finally:
            database.dispose()
        return done

    def catch_up(self, *, actor: str, after: Path | None = None) -> RestoreReport:
        """A database that was put back to an earlier state by other means, brought up to the journal where it stands.

        For one that `verify_standing` refuses; every role stands still meanwhile. The journal is read from its
        beginning, or from where it was at the backup `after`, which must be older than the database's state. Ends as a
        restore does: the audit event, the audit log's name closed, the mark gone. May be cut off and repeated.
        Raises: BackupRefused, where nothing is behind; BackupDamaged, JournalFault.
        """
        with _files_refused():
            database = Database.open(self._url)
            try:
                with database.read() as tx:
                    mark, authorities = store.unfinished(tx), frozenset(store.authorities(tx))
                if mark is None or not mark.startswith(BEHIND):
                    raise BackupRefused("the database is not behind the second place")
                report, settled = ReplayReport(), self._journal_records()
                journal = self._journal
                if journal is not None:
                    place = journal.start() if after is None else read_manifest(after).place
                    if place is None:
                        raise BackupRefused("that backup was taken without a journal")
                    start = place
                    report = replay(database, lambda: journal.records(start), authorities, self._clock())
                done = RestoreReport(backup_id=mark, replay=report, without_journal=journal is None)
                self._complete(database, "backup.caught_up", actor, done, settled)
            finally:
                database.dispose()
            return done

    def _complete(self, database: Database, name: str, actor: str, done: RestoreReport, settled: int) -> None:
        """settled: how many records the journal had before it was replayed; whoever wrote more since is noticed at the
        next start."""
        detail: dict[str, str | int | bool] = {**asdict(done.replay), "without_journal": done.without_journal}
        detail["journal_records"] = settled
        with database.write() as tx:
            self._audit.append(tx, _event(name, actor, done.backup_id, detail))
            close_origin(tx, self._clock())
            store.complete(tx, done.backup_id, self._clock(), json.dumps(detail))

    def _journal_records(self) -> int:
        try:
            return 0 if self._journal is None else self._journal.place().count
        except SecondPlaceUnavailable:  # a restore without it
            return 0

    def _records(self, manifest: Manifest, without_journal: bool) -> Place | None:
        if without_journal:
            return None
        if self._journal is None or manifest.place is None:
            raise BackupRefused("there is no journal: what was revoked after the backup would be un-revoked")
        return manifest.place

    def _after(self, place: Place) -> Iterator[Record]:
        if self._journal is None:
            raise BackupRefused("there is no journal")
        return self._journal.records(place)

    def _copy_keys(self, target: Path) -> str:
        if self._key_folder is None:
            return "in a token: back it up by its own means"
        target.mkdir(mode=0o700)
        for path in sorted(self._key_folder.glob("*.pem")):
            copy = target / path.name
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
            with copy.open("rb") as file:
                os.fsync(file.fileno())
        return "encrypted files; their passphrase is not in here"

    def _put_keys(self, source: Path, target: Path | None) -> None:
        if target is None or not source.is_dir():
            return
        if target.exists() and any(target.iterdir()) and not _same_keys(source, target):
            raise TargetNotEmpty(str(target))
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(source.glob("*.pem")):
            partial = target / _partial(path)
            shutil.copyfile(path, partial)
            partial.chmod(0o600)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.rename(target / path.name)
        sync_folder(target)


@contextmanager
def _files_refused() -> Iterator[None]:
    """Raises: BackupRefused, where a file cannot be read or written."""
    try:
        yield
    except OSError as error:
        raise BackupRefused(f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}") from error


def verify_restored(database: Database) -> None:
    """Accepts a database that was not restored, or wholly. Raises: RestoreUnfinished, DatabaseBehind."""
    with database.read() as tx:
        backup_id = store.unfinished(tx)
    if backup_id is not None and backup_id.startswith(BEHIND):
        raise DatabaseBehind(ADVICE)
    if backup_id is not None:
        raise RestoreUnfinished(f"backup {backup_id}: repeat citizenid backup restore")


def _holds_unfinished(database: Database, url: str, backup_id: str) -> bool:
    """True for this very restore, cut off; False for an empty place. Raises: TargetNotEmpty."""
    if url.startswith("sqlite"):
        if not sqlite_path(url).exists():
            verify_nothing_there(sqlite_path(url))
            return False
    else:
        with database.read() as tx:
            if not store.has_tables(tx):
                return False
    with database.read() as tx:
        found = store.restoration_state(tx, backup_id)
    if found != "unfinished":
        raise TargetNotEmpty("the database holds something already: empty it, or name another")
    return True


def _marker(url: str, backup_id: str) -> str:
    """As text, because the databases' own programs run it together with the copy. backup_id: hexadecimal."""
    if not all(character in "0123456789abcdef" for character in backup_id):
        raise BackupRefused("backup_id")
    table = "backup_restorations" if url.startswith("sqlite") else "public.backup_restorations"
    return f"INSERT INTO {table} (backup_id, started_at) VALUES ('{backup_id}', 0)"  # noqa: S608 - hexadecimal digits


def _same_keys(source: Path, target: Path) -> bool:
    """Whether the target holds nothing but what a cut-off restore of this backup put there, one file in part."""
    begun = {_partial(path) for path in source.glob("*.pem")}
    return all(
        (source / path.name).is_file() and file_digest(source / path.name) == file_digest(path)
        for path in target.iterdir()
        if path.is_file() and path.name not in begun
    )


def _partial(path: Path) -> str:
    return f".{path.name}.partial"


def _event(name: str, actor: str, backup_id: str, detail: dict[str, str | int | bool]) -> AuditEvent:
    return AuditEvent(name=name, actor=actor, outcome=Outcome.OK, subject=f"backup:{backup_id}", detail=detail)
