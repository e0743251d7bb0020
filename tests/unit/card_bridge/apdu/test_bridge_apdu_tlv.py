"""BER-TLV that nobody meant well."""

import pytest

from card_bridge.apdu import tlv
from card_bridge.apdu.errors import MalformedTlv


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", []),
        ("5300", [(0x53, "")]),
        ("5c035fc102", [(0x5C, "5fc102")]),
        ("5fc10201aa7f4901bb", [(0x5FC102, "aa"), (0x7F49, "bb")]),
        ("538101aa", [(0x53, "aa")]),  # a longer length than needed is legal BER
        ("53820001aa", [(0x53, "aa")]),
    ],
)
def test_data_objects_are_read(octets: str, expected: list[tuple[int, str]]) -> None:
    assert [(each.tag, each.value.hex()) for each in tlv.parse(bytes.fromhex(octets))] == expected


@pytest.mark.parametrize(
    "octets",
    [
        "53",  # no length
        "5f",  # tag cut off
        "5fc1",
        "5fffffff01",  # tag of four octets
        "5380aa0000",  # indefinite length
        "5302aa",  # value cut off
        "5381",  # length cut off
        "5382ff",
        "5384000000ff",  # length of four octets
        "0000",  # padding
        "5300ff",  # rubbish after a whole object
    ],
)
def test_malformed_objects_are_refused(octets: str) -> None:
    with pytest.raises(MalformedTlv):
        tlv.parse(bytes.fromhex(octets))


def test_a_flood_of_objects_is_refused() -> None:
    with pytest.raises(MalformedTlv):
        tlv.parse(b"\x53\x00" * (tlv.OBJECT_LIMIT + 1))
    with pytest.raises(MalformedTlv):
        tlv.parse(bytes(tlv.TOTAL_LIMIT + 1))


@pytest.mark.parametrize("tag", [0, -1, 0x5F, 0x5301, 0x01000000, 0x5FC1, 0x5F8100 | 0x80])
def test_what_would_not_read_back_is_no_tag(tag: int) -> None:
    with pytest.raises(MalformedTlv):
        tlv.encode_tag(tag)


def test_the_only_object_must_be_the_only_one() -> None:
    assert tlv.parse_only(b"\x53\x01\xaa", 0x53) == b"\xaa"
    for octets in (b"\x53\x01\xaa\x53\x00", b"\x54\x00", b""):
        with pytest.raises(MalformedTlv):
            tlv.parse_only(octets, 0x53)
