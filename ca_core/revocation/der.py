"""The few DER primitives that CRLs and OCSP answers are put together from. Writing only; nothing here parses."""

from datetime import UTC, datetime

SEQUENCE = 0x30
SET = 0x31
BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18


def header(tag: int, size: int) -> bytes:
    """Tag and length of a value of that many octets."""
    if size < 0x80:
        return bytes((tag, size))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, *content: bytes) -> bytes:
    """One value, its content being all parts in a row."""
    value = b"".join(content)
    return header(tag, len(value)) + value


def explicit(number: int, *content: bytes) -> bytes:
    """A constructed context-specific tag."""
    return tlv(0xA0 | number, *content)


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A non-negative INTEGER (or ENUMERATED) in the fewest octets."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def generalized_time(moment: datetime) -> bytes:
    """An aware moment as GeneralizedTime, whole seconds, Z."""
    utc = moment.astimezone(UTC)
    return tlv(GENERALIZED_TIME, f"{utc.year:04d}{utc:%m%d%H%M%S}Z".encode("ascii"))  # %Y has fewer digits before 1000


def time(moment: datetime) -> bytes:
    """An aware moment as Time (RFC 5280 s4.1.2.5): UTCTime through 2049, GeneralizedTime after."""
    utc = moment.astimezone(UTC)
    if 1950 <= utc.year < 2050:
        return tlv(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return generalized_time(utc)


def extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """An Extension; `oid` is the OBJECT IDENTIFIER's DER, `value` the extension's own DER."""
    flag = (b"\x01\x01\xff",) if critical else ()
    return tlv(SEQUENCE, oid, *flag, tlv(OCTET_STRING, value))
