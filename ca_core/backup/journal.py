"""The journal in the second place: append-only files of records, chained by hashes, fsync'd before anyone goes on.

A record's `n` is its number in the journal, and `act` that of the first one that was appended together with it.
`journal.json` names the journal; without it a folder is no second place, so that a mount which is away is not taken
for an empty journal. `00000001.log` and on hold the lines; a new file is begun when one is large. Processes of several
hosts may write if the folder's file system has locks.
"""

import errno
import fcntl
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ca_core.backup.errors import JournalExists, JournalFault
from ca_core.backup.model import MAX_LINE_BYTES, Place, line_of, parse_line, start_of
from ca_core.kernel.rng import Rng
from ca_core.kernel.second_place import Record, SecondPlaceUnavailable

SEGMENT_BYTES = 64 * 1024 * 1024
_MARKER = "journal.json"
_LOCK = "lock"
_SEGMENT = re.compile(r"([0-9]{8})\.log")
_TAIL_BYTES = 2 * MAX_LINE_BYTES

JournalCheckpoint = Callable[[str], None]
"""Told of `written` (not durable yet) and `durable`; tests end the process there."""


def found_journal(folder: Path, rng: Rng) -> str:
    """Makes an empty folder a second place and returns the journal's id. Raises: JournalExists."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise JournalExists(str(folder))
    journal_id = rng(16).hex()
    (folder / _LOCK).touch(mode=0o600)
    temporary = folder / f".{_MARKER}.new"
    with temporary.open("wb") as file:
        file.write(json.dumps({"version": 1, "journal_id": journal_id}).encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / _MARKER)
    _sync_folder(folder)
    return journal_id


class Journal:
    """The second place in a folder. Safe among threads and processes; holds nothing open between two calls."""

    def __init__(
        self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, checkpoint: JournalCheckpoint | None = None
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._checkpoint = checkpoint or (lambda _step: None)
        self._thread_lock = threading.Lock()
        self._known: Place | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Durable when this returns. Raises: SecondPlaceUnavailable; then none of them counts.

        1. The folder's lock. 2. The end of the chain, a torn line of somebody who died being cut off. 3. All lines with
        one write. 4. fsync. What was written by half, or could not be made durable, is cut off again.
        """
        if not records:
            return
        try:
            with self._thread_lock, self._locked():
                self._append(records)
        except (OSError, JournalFault) as error:
            self._known = None
            raise SecondPlaceUnavailable(_reason(error)) from error

    def place(self) -> Place:
        """Where the journal ends now. Raises: SecondPlaceUnavailable."""
        try:
            with self._thread_lock, self._locked():
                return self._end()
        except (OSError, JournalFault) as error:
            raise SecondPlaceUnavailable(_reason(error)) from error

    def start(self) -> Place:
        """Where the journal begins. Raises: JournalFault."""
        return start_of(self._journal_id())

    def records(self, after: Place) -> Iterator[dict[str, str | int | None]]:
        """Every record after a place, in order, in bounded memory; not a torn last line, which nobody relied on.

        Raises: JournalFault, where the journal is another, does not reach that place, or a line was altered.
        """
        if self._journal_id() != after.journal_id:
            raise JournalFault("another journal than the one the backup was taken beside")
        segment, offset, running = after.segment, after.offset, after.hash
        last = max(self._segments(), default=after.segment)
        if after.count and (self._size(segment) or 0) < offset:
            raise JournalFault("the journal ends before the backup was taken")
        if after.count and self._hash_before(segment, offset) != running:
            raise JournalFault("the journal holds something else where the backup was taken")
        while segment <= last:
            if segment not in self._segments():
                if segment == after.segment and after.count == 0 and last == after.segment:
                    return
                raise JournalFault(f"segment {segment} is missing")
            with self._path(segment).open("rb") as file:
                file.seek(offset)
                while line := file.readline(MAX_LINE_BYTES + 1):
                    if segment == last and not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
                        return
                    try:
                        record, running = parse_line(running, line)
                    except ValueError as error:
                        raise JournalFault(f"segment {segment}: {error}") from error
                    yield record
            segment, offset = segment + 1, 0

    def newest(self, size_bytes: int) -> tuple[list[dict[str, str | int | None]], bool]:
        """The last records, of about that many octets, oldest first; and whether these are all there are.

        Takes no lock and writes nothing: a folder that may only be read will do. Raises: SecondPlaceUnavailable.
        """
        try:
            self._journal_id()
            octets, is_all = b"", True
            for segment in sorted(self._segments(), reverse=True):
                room = size_bytes - len(octets)
                with self._path(segment).open("rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(0, size - room))
                    octets = file.read() + octets
                if size > room:
                    is_all = False
                    break
            lines = octets.splitlines(keepends=True)
            if lines and not lines[-1].endswith(b"\n"):  # torn, or being written
                lines.pop()
            if not is_all:
                lines = lines[1:]
            before = [line.partition(b" ")[0].decode("ascii", "replace") for line in lines]
            found = [parse_line(before[index], lines[index + 1])[0] for index in range(len(lines) - 1)]
            if lines:
                found.insert(0, json.loads(lines[0].partition(b" ")[2]))
        except (OSError, ValueError, JournalFault) as error:
            raise SecondPlaceUnavailable(_reason(error)) from error
        return found, is_all

    def _append(self, records: Sequence[Record]) -> None:
        end = self._end()
        if end.offset >= self._segment_bytes:
            end = Place(journal_id=end.journal_id, segment=end.segment + 1, offset=0, count=end.count, hash=end.hash)
        lines: list[bytes] = []
        running = end.hash
        for record in records:
            line, running = line_of(running, {**record, "n": end.count + len(lines) + 1, "act": end.count + 1})
            lines.append(line)
        octets = b"".join(lines)
        self._known = None
        path, is_new = self._path(end.segment), end.offset == 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                _write_all(descriptor, octets, end.offset)
                self._checkpoint("written")
                os.fsync(descriptor)
                if is_new:
                    _sync_folder(self._folder)
            except OSError:
                os.ftruncate(descriptor, end.offset)
                raise
        finally:
            os.close(descriptor)
        self._checkpoint("durable")
        self._known = Place(
            journal_id=end.journal_id,
            segment=end.segment,
            offset=end.offset + len(octets),
            count=end.count + len(lines),
            hash=running,
        )

    def _end(self) -> Place:
        """The end of the chain, a torn last line being cut off. Under the lock."""
        journal_id = self._journal_id()
        last = max(self._segments(), default=1)
        size = self._size(last)
        known = self._known
        if known is not None and (known.journal_id, known.segment, known.offset) == (journal_id, last, size):
            return known
        while True:
            whole = self._cut_torn(last, size or 0)
            if whole or last == 1:
                break
            last -= 1
            size = self._size(last)
            if size is None:
                raise JournalFault(f"segment {last} is missing")
        if not whole:
            return start_of(journal_id)
        line = self._last_line(last, whole)
        digest, _, text = line.partition(b" ")
        try:
            count = int(json.loads(text)["n"])
        except (ValueError, KeyError, TypeError) as error:
            raise JournalFault(f"segment {last}: its last line is no record") from error
        return Place(journal_id=journal_id, segment=last, offset=whole, count=count, hash=digest.decode("ascii"))

    def _cut_torn(self, segment: int, size: int) -> int:
        """How many octets are whole lines. What follows them was acknowledged to nobody, and is cut off."""
        if size == 0:
            return 0
        with self._path(segment).open("r+b") as file:
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            whole = start + file.read().rfind(b"\n") + 1
            if whole == start and start:
                raise JournalFault(f"segment {segment} ends in no line")
            if whole < size:
                file.truncate(whole)
                os.fsync(file.fileno())
        return whole

    def _last_line(self, segment: int, end: int) -> bytes:
        with self._path(segment).open("rb") as file:
            return _line_before(file, end)

    def _hash_before(self, segment: int, offset: int) -> str:
        if offset == 0:
            return ""
        return self._last_line(segment, offset).partition(b" ")[0].decode("ascii", "replace")

    def _journal_id(self) -> str:
        try:
            marker = json.loads((self._folder / _MARKER).read_bytes())
            return start_of(marker["journal_id"]).journal_id
        except FileNotFoundError as error:
            raise JournalFault(f"{self._folder} is no second place: not founded, or its volume is away") from error
        except (ValueError, KeyError, TypeError) as error:
            raise JournalFault(f"{self._folder}: {_MARKER} is damaged") from error

    def _segments(self) -> list[int]:
        found = (_SEGMENT.fullmatch(name) for name in os.listdir(self._folder))
        return [int(match.group(1)) for match in found if match is not None]

    def _size(self, segment: int) -> int | None:
        try:
            return self._path(segment).stat().st_size
        except FileNotFoundError:
            return None

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:08d}.log"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._journal_id()
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _line_before(file: BinaryIO, end: int) -> bytes:
    start = max(0, end - _TAIL_BYTES)
    file.seek(start)
    return file.read(end - start)[:-1].rpartition(b"\n")[2]


def _write_all(descriptor: int, octets: bytes, offset: int) -> None:
    done = 0
    while done < len(octets):
        written = os.pwrite(descriptor, octets[done:], offset + done)
        if written == 0:
            raise OSError(errno.ENOSPC, "nothing was written")
        done += written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else type(error).__name__
    return getattr(error, "detail", type(error).__name__)
