"""The DER that a certificate is spliced from and read back as: strict, one level at a time. Pure."""

from datetime import UTC, datetime

BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING = 0x03, 0x02, 0x06, 0x04
UTF8_STRING, PRINTABLE_STRING, SEQUENCE, SET = 0x0C, 0x13, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME, EXTENSIONS = 0x17, 0x18, 0xA3
_SHORT = 0x80


def tlv(tag: int, content: bytes) -> bytes:
    """One value."""
    size = len(content)
    if size < _SHORT:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT | len(length))) + length + content


def contents(octets: bytes, tag: int) -> bytes:
    """What a value with that tag holds, which is all there is. Raises: ValueError."""
    found = children(octets)
    if len(found) != 1 or octets[0] != tag:
        raise ValueError("another value was expected")
    return value_of(octets)


def value_of(octets: bytes) -> bytes:
    """The content of one value that `children` gave."""
    return octets[2 + (octets[1] & 0x7F if octets[1] & _SHORT else 0) :]


def children(octets: bytes) -> list[bytes]:
    """The values in a row that the octets are, each whole. Single-octet tags, definite and minimal lengths.

    Raises: ValueError.
    """
    found, position, end = [], 0, len(octets)
    try:
        while position < end:
            if octets[position] & 0x1F == 0x1F:
                raise ValueError("a tag of more than one octet")
            size, start = octets[position + 1], position + 2
            if size & _SHORT:
                count = size & 0x7F
                if not 1 <= count <= 3:
                    raise ValueError("a length that DER does not have, or that no certificate needs")
                start += count
                size = int.from_bytes(octets[position + 2 : start], "big")
                if size < _SHORT or size >> (8 * (count - 1)) == 0:
                    raise ValueError("a length in too many octets")
            stop = start + size
            if stop > end:
                raise ValueError("a value beyond the end")
            found.append(octets[position:stop])
            position = stop
    except IndexError as error:
        raise ValueError("a value beyond the end") from error
    return found


def integer(value: int) -> bytes:
    """A non-negative INTEGER in the fewest octets."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def time(moment: datetime) -> bytes:
    """An aware moment as Time: UTCTime through 2049, GeneralizedTime after. Spec: RFC 5280 s4.1.2.5."""
    utc = moment.astimezone(UTC)
    if utc.year < 2050:
        return tlv(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return tlv(GENERALIZED_TIME, utc.strftime("%Y%m%d%H%M%SZ").encode("ascii"))
