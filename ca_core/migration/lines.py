"""Lines of untrusted files, in bounded memory however long they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ca_core.migration.model import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """octets: without the line end; None for a line that is longer than the bound. number: from 1."""

    number: int
    start: Cursor
    after: Cursor
    octets: bytes | None


def read_lines(file: BinaryIO, start: Cursor, limit: int) -> Iterator[Line]:
    """Every line from there on. Of one that is too long nothing is kept."""
    file.seek(start.offset)
    cursor = start
    while head := file.readline(limit + 2):
        size, is_long = len(head), len(head.rstrip(b"\r\n")) > limit
        last = head
        while not last.endswith(b"\n") and (last := file.readline(65_536)):
            size += len(last)
            is_long = True if len(last.rstrip(b"\r\n")) else is_long
        after = Cursor(offset=cursor.offset + size, line=cursor.line + 1)
        yield Line(number=after.line, start=cursor, after=after, octets=None if is_long else head.rstrip(b"\r\n"))
        cursor = after
