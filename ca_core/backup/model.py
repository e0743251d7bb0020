"""The journal's lines and places. Pure."""

import json
import re
from dataclasses import dataclass
from hashlib import sha256

from ca_core.kernel.second_place import Record

MAX_LINE_BYTES = 65_536
_DOMAIN = b"citizenid second place v1\n"
_JOURNAL_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a journal something stands: after `count` records, of which the last has that hash.

    segment: number of the file; offset: octets into it.
    """

    journal_id: str
    segment: int
    offset: int
    count: int
    hash: str


def start_of(journal_id: str) -> Place:
    """The beginning of a journal. Raises: ValueError, for what cannot be its id."""
    if not _JOURNAL_ID.fullmatch(journal_id):
        raise ValueError("not the id of a journal")
    first = sha256(_DOMAIN + journal_id.encode("ascii")).hexdigest()
    return Place(journal_id=journal_id, segment=1, offset=0, count=0, hash=first)


def line_of(previous_hash: str, record: Record) -> tuple[bytes, str]:
    """A record as its line, and its hash, which also covers every line before it."""
    text = json.dumps(dict(record), ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = sha256(previous_hash.encode("ascii") + b" " + text.encode("ascii")).hexdigest()
    line = f"{digest} {text}\n".encode("ascii")
    if len(line) > MAX_LINE_BYTES:
        raise ValueError("a record is too large")
    return line, digest


def parse_line(previous_hash: str, line: bytes) -> tuple[dict[str, str | int | None], str]:
    """The record and its hash. Raises: ValueError, unless the line is whole and follows from the one before."""
    digest, _, text = line[:-1].partition(b" ")
    expected = sha256(previous_hash.encode("ascii") + b" " + text).hexdigest().encode("ascii")
    if not line.endswith(b"\n") or digest != expected:
        raise ValueError("a line does not follow from the one before")
    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise ValueError("not a record")
    return record, digest.decode("ascii")
