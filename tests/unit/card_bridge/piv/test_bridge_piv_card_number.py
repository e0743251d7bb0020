"""The card number and the GUID that holds it."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_bridge.piv.card_number import guid_of, parse_guid


@given(st.integers(0, 10**16 - 1))
def test_every_card_number_reads_back(number: int) -> None:
    guid = guid_of(f"{number:016d}")

    assert parse_guid(guid) == f"{number:016d}"
    assert uuid.UUID(bytes=guid).version == 8
    assert uuid.UUID(bytes=guid).variant == uuid.RFC_4122


@given(st.binary(max_size=20))
def test_any_other_guid_is_none_of_ours(guid: bytes) -> None:
    number = parse_guid(guid)
    assert number is None or guid_of(number) == guid


@pytest.mark.parametrize(
    "number",
    ["", "123", "12345678901234567", "123456789012345a", "１２３４５６７８９０１２３４５６", "-000000000000001"],
)
def test_what_is_no_card_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="16 decimal digits"):
        guid_of(number)


def test_a_number_beyond_sixteen_digits_is_none() -> None:
    largest = bytearray(guid_of("9999999999999999"))
    largest[8:] = ((0b10 << 62) | 10**16).to_bytes(8, "big")

    assert parse_guid(bytes(largest)) is None
