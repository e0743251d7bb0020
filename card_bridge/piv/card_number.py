"""The card number inside the GUID of a card's CHUID.

The GUID is a UUID of version 8 (RFC 9562 section 5.8): six octets that are the same on every card of this scheme, the
version and variant bits with twelve zero bits between them, and the sixteen digits of the card number as an integer of
62 bits. A card without such a GUID is a PIV card of somebody else.
"""

import re
from typing import Final

PREFIX: Final = bytes.fromhex("c171ec4a4d00")
_VERSION_8: Final = 0x8000
_VARIANT: Final = 0b10 << 62
_LARGEST: Final = 10**16 - 1
_CARD_NUMBER: Final = re.compile(r"[0-9]{16}")


def guid_of(card_number: str) -> bytes:
    """The 16 octets that stand for this card number. Raises: ValueError unless it is 16 decimal digits."""
    if not _CARD_NUMBER.fullmatch(card_number):
        raise ValueError("a card number is 16 decimal digits")
    return PREFIX + _VERSION_8.to_bytes(2, "big") + (_VARIANT | int(card_number)).to_bytes(8, "big")


def parse_guid(guid: bytes) -> str | None:
    """The card number that this GUID holds; None for any other GUID."""
    if len(guid) != 16 or guid[:6] != PREFIX or int.from_bytes(guid[6:8], "big") != _VERSION_8:
        return None
    low = int.from_bytes(guid[8:], "big")
    number = low & ~(0b11 << 62)
    return f"{number:016d}" if low >> 62 == 0b10 and number <= _LARGEST else None
