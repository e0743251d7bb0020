"""BER-TLV data objects (ISO 7816-4 section 5.2.2), flat: nesting is the caller's, so no input can make this recurse.

A tag is written as the integer of its octets: 0x53, 0x7F49, 0x5FC105. Lengths are read in every definite form and
written in the shortest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from card_bridge.apdu.errors import MalformedTlv

TOTAL_LIMIT = 65_536
OBJECT_LIMIT = 1_024


@dataclass(frozen=True, slots=True)
class Tlv:
    """A tag and its value."""

    tag: int
    value: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        return encode(self.tag, self.value)


def encode(tag: int, *values: bytes | Tlv) -> bytes:
    """One data object whose value is `values` one after another. Raises: MalformedTlv for what is no tag."""
    value = b"".join(part.encode() if isinstance(part, Tlv) else part for part in values)
    return encode_tag(tag) + _encode_length(len(value)) + value


def encode_tag(tag: int) -> bytes:
    """The octets of a tag. Raises: MalformedTlv unless they read back as the same tag."""
    if not 0 < tag < 1 << 24:
        raise MalformedTlv("no tag of one to three octets")
    octets = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    if _tag_size(octets, 0) != len(octets):
        raise MalformedTlv(f"{octets.hex()} is no tag")
    return octets


def parse(data: bytes) -> tuple[Tlv, ...]:
    """All data objects of `data`, which they must fill exactly. Raises: MalformedTlv."""
    if len(data) > TOTAL_LIMIT:
        raise MalformedTlv(f"{len(data)} octets are over the limit")
    objects: list[Tlv] = []
    position = 0
    while position < len(data):
        if len(objects) == OBJECT_LIMIT:
            raise MalformedTlv("too many data objects")
        found, position = _read(data, position)
        objects.append(found)
    return tuple(objects)


def parse_only(data: bytes, tag: int) -> bytes:
    """The value of the one data object that `data` is. Raises: MalformedTlv if it is another, or more follows."""
    objects = parse(data)
    if len(objects) != 1 or objects[0].tag != tag:
        raise MalformedTlv(f"not exactly one data object {tag:X}")
    return objects[0].value


def find(objects: Iterable[Tlv], tag: int) -> bytes | None:
    """The value of the first object with this tag; None if there is none."""
    return next((each.value for each in objects if each.tag == tag), None)


def _read(data: bytes, start: int) -> tuple[Tlv, int]:
    value_at_tag = start + _tag_size(data, start)
    tag = int.from_bytes(data[start:value_at_tag], "big")
    if not data[start]:
        raise MalformedTlv(f"padding at {start}")
    length, value_at = _read_length(data, value_at_tag)
    if length > len(data) - value_at:
        raise MalformedTlv(f"{length} octets announced at {start}, {len(data) - value_at} there")
    return Tlv(tag, data[value_at : value_at + length]), value_at + length


def _tag_size(data: bytes, start: int) -> int:
    if data[start] & 0x1F != 0x1F:
        return 1
    for size in (2, 3):
        if start + size > len(data):
            break
        if not data[start + size - 1] & 0x80:
            return size
    raise MalformedTlv(f"a tag is cut off or too long at {start}")


def _read_length(data: bytes, position: int) -> tuple[int, int]:
    if position >= len(data):
        raise MalformedTlv(f"no length at {position}")
    first = data[position]
    if first < 0x80:
        return first, position + 1
    size = first & 0x7F
    end = position + 1 + size
    if not 1 <= size <= 3 or end > len(data):
        raise MalformedTlv(f"a length that is indefinite, too long or cut off at {position}")
    return int.from_bytes(data[position + 1 : end], "big"), end


def _encode_length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    if length > TOTAL_LIMIT:
        raise MalformedTlv(f"{length} octets are over the limit")
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets
