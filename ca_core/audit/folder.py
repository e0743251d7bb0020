"""A copy of the log outside the database: written as files, read back from a folder or a ZIP file."""

import json
import lzma
import os
import zipfile
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from ca_core.audit import store
from ca_core.audit.checkpoint import parse_checkpoint
from ca_core.audit.errors import NoteRefused, ProofRefused
from ca_core.audit.model import Outcome, RecordedEvent
from ca_core.audit.note import parse_note
from ca_core.audit.published import PublishedLog
from ca_core.audit.tiles import bundles_of, tiles_of
from ca_core.kernel.database import Database

MAX_FILE_BYTES = 1 << 24
_MAX_LINE_BYTES = 16_384


class LogFiles(Protocol):
    """Where a copied log is read from: paths as under `/pki/log/`."""

    def read(self, path: str) -> bytes | None:
        """None where it is not there. Raises: NoteRefused, where it cannot be read."""
        ...


class FolderFiles:
    """A folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        try:
            with (self._folder / path).open("rb") as file:
                return file.read(MAX_FILE_BYTES)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise NoteRefused(f"{path}: {error.strerror}") from error


class ZipFiles:
    """The same in a ZIP file."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)

    def read(self, path: str) -> bytes | None:
        try:
            with self._archive.open(path) as file:
                return file.read(MAX_FILE_BYTES)
        except KeyError:
            return None
        except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            raise NoteRefused(f"{path}: cannot be read: {type(error).__name__}") from error  # RuntimeError: encrypted


def open_log_files(path: Path) -> LogFiles:
    """The copied log at a path. Raises: NoteRefused, where it is neither a folder nor a ZIP file."""
    if path.is_dir():
        return FolderFiles(path)
    try:
        return ZipFiles(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise NoteRefused(f"{path}: neither a folder nor a ZIP file") from error


def export_log(log: PublishedLog, folder: Path) -> int:
    """Copies checkpoint, tiles and bundles into a folder; returns the tree's size.

    Full tiles that are there already stay. The checkpoint comes last and whole, so that a copy that was broken off
    still verifies as what it was. Raises: ProofRefused, where nothing was published yet, or where the folder holds
    a copy of another log: one that a restore closed had other tiles.
    """
    checkpoint = log.checkpoint()
    if checkpoint is None:
        raise ProofRefused("no checkpoint was published yet")
    newest = parse_checkpoint(parse_note(checkpoint).text)
    size, copied = newest.size, FolderFiles(folder).read("checkpoint")
    if copied is not None and parse_checkpoint(parse_note(copied).text).origin != newest.origin:
        raise ProofRefused(f"{folder} holds a copy of another log than {newest.origin}: name a new folder")
    for name in (*bundles_of(size), *tiles_of(size)):
        path = folder / "tile" / name.path
        if path.exists():
            continue
        octets = log.tile(name)
        if octets is None:
            raise ProofRefused(f"tile {name.path} is missing")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, octets)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "checkpoint", checkpoint)
    return size


def openings(database: Database, first: int = 0, last: int | None = None) -> Iterator[str]:
    """The events with their salts, one JSON object a line, from an index to another: for auditors, never published."""
    with database.snapshot() as tx:
        for index, _, event in store.placed(tx, first):
            if last is not None and index > last:
                return
            if event is not None:
                yield format_opening(index, event)


def format_opening(index: int, event: RecordedEvent) -> str:
    """Everything that the commitment was made of, as one line of JSON."""
    members = {
        "index": index,
        "at": event.at.isoformat(timespec="microseconds"),
        "name": event.name,
        "actor": event.actor,
        "outcome": event.outcome.value,
        "subject": event.subject,
        "request_id": event.request_id,
        "detail": event.detail,
        "salt": b64encode(event.salt).decode("ascii"),
    }
    return json.dumps(members, ensure_ascii=True, separators=(",", ":"))


def parse_opening(line: str) -> tuple[int, RecordedEvent]:
    """The index and the event of an untrusted line; its leaf hash is left empty. Raises: ProofRefused."""
    try:
        if len(line) > _MAX_LINE_BYTES:
            raise ValueError("too long")
        members = json.loads(line)
        texts = {name: members[name] for name in ("name", "actor", "subject", "request_id", "detail")}
        index, at = members["index"], datetime.fromisoformat(members["at"])
        if at.tzinfo is None or type(index) is not int or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("a member is of another type")
        salt = b64decode(members["salt"], validate=True)
        outcome = Outcome(members["outcome"])
    except (ValueError, KeyError, TypeError, AttributeError, Base64Error, RecursionError) as error:
        raise ProofRefused(f"not an opening: {line[:40]!r}") from error
    return index, RecordedEvent(id=0, at=at, outcome=outcome, salt=salt, leaf_hash=b"", **texts)


def _write(path: Path, octets: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
