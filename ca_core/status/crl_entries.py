"""Judging every entry of a CRL, octet by octet, at the speed of a regular expression. Pure.

An entry of this house has one of 160 shapes: a serial of 1 to 20 octets, one of two forms of time, with or without a
reason and an invalidity date (RFC 5280 s5.1.2.6, s5.3). Each shape fixes every length octet, so that what matches is
DER, in the fewest octets, and nothing else.
"""

import re
from functools import cache

from ca_core.status.errors import CrlRefused

_DAY_AND_TIME = rb"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z"
_TIMES = (
    (15, rb"\x17\x0d[0-9]{2}" + _DAY_AND_TIME),
    (17, rb"\x18\x0f(?:20[5-9][0-9]|2[1-9][0-9]{2}|[3-9][0-9]{3})" + _DAY_AND_TIME),
)
_INVALIDITY_DATE = rb"\x30\x18\x06\x03\x55\x1d\x18\x04\x11\x18\x0f[0-9]{4}" + _DAY_AND_TIME
_COMPLETE = rb"[\x01-\x06\x09\x0a]"
_DELTA = rb"[\x01-\x06\x08-\x0a]"
_SERIAL_SIZES = (16, 15, 17, 20, 19, 18, *range(14, 0, -1))


def verify_entries(entries: bytes, *, delta: bool) -> None:
    """Accepts any number of whole entries in a row. removeFromCRL belongs on a delta alone. Raises: CrlRefused."""
    found = _pattern(_DELTA if delta else _COMPLETE).match(entries)
    end = 0 if found is None else found.end()
    if end != len(entries):
        raise CrlRefused(f"entry: {entries[end : end + 80].hex()}")


@cache
def _pattern(reasons: bytes) -> re.Pattern[bytes]:
    """Compiled when the first list is judged: it takes a tenth of a second, which most commands need not wait for."""
    reason = rb"\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01" + reasons
    tails = (
        (14, rb"\x30\x0c" + reason),
        (0, b""),
        (40, rb"\x30\x26" + reason + _INVALIDITY_DATE),
        (28, rb"\x30\x1a" + _INVALIDITY_DATE),
    )
    shapes = [
        b"\\x30\\x%02x\\x02\\x%02x" % (2 + size + time_size + tail_size, size) + _serial(size) + time + tail
        for time_size, time in _TIMES
        for size in _SERIAL_SIZES
        for tail_size, tail in tails
    ]
    return re.compile(b"(?:" + b"|".join(shapes) + b")*+", re.DOTALL)


def _serial(size: int) -> bytes:
    """A positive INTEGER's content of that many octets, none of them spare."""
    if size == 1:
        return rb"[\x01-\x7f]"
    return rb"(?:[\x01-\x7f].|\x00[\x80-\xff])" + (b".{%d}" % (size - 2) if size > 2 else b"")
