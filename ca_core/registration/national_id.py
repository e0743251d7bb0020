"""National IDs and resident numbers: their grammar, and a type that does not show them. Pure.

Ten characters. A citizen's: a letter, 1 or 2, eight digits. A resident's: a letter, 8 or 9, eight digits; or, as issued
until 2020 and still valid on old cards, a letter, one of A to D, eight digits. The last digit is the check digit.
"""

import re
from typing import Final, Self

from ca_core.registration.errors import NationalIdMalformed

_GRAMMAR = re.compile(r"[A-Z][1289A-D][0-9]{8}")
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
"""The letters in the order of their values: A is 10, Z is 33, I and O came last and are 34 and 35."""
_WEIGHTS: Final = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)


class NationalId:
    """A national ID or resident number with a right check digit. Equal by value; shown as dots everywhere.

    `reveal()` is the one way to its characters: look for it when reviewing where they may go.
    """

    __slots__ = ("_characters",)

    def __init__(self, characters: str) -> None:
        """characters: the ten of them, capital letters. Raises: NationalIdMalformed, which does not repeat them."""
        if not isinstance(characters, str) or not _GRAMMAR.fullmatch(characters):
            raise NationalIdMalformed("grammar")
        if _weighted_sum(characters) % 10:
            raise NationalIdMalformed("check digit")
        self._characters = characters

    @classmethod
    def parse(cls, text: str) -> Self:
        """The ID in text that a person typed: small letters and white space around it are forgiven.

        Raises: NationalIdMalformed.
        """
        return cls(text.strip().upper() if isinstance(text, str) and text.isascii() else "")

    def reveal(self) -> str:
        """The ten characters. Never for a log, a URL, an error or a metric."""
        return self._characters

    @property
    def last4(self) -> str:
        """The last four digits, which a certificate carries."""
        return self._characters[-4:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NationalId) and self._characters == other._characters

    def __hash__(self) -> int:
        return hash(self._characters)

    def __repr__(self) -> str:
        return "NationalId(..........)"

    def __str__(self) -> str:
        return ".........."

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a national ID is not pickled")


def check_digit(first_nine: str) -> str:
    """The tenth character for the nine before it, which keep the grammar."""
    return str(-_weighted_sum(first_nine + "0") % 10)


def _weighted_sum(characters: str) -> int:
    area = _LETTERS.index(characters[0]) + 10
    kind = _LETTERS.index(characters[1]) % 10 if characters[1] in "ABCD" else int(characters[1])
    digits = (area // 10, area % 10, kind, *(int(character) for character in characters[2:]))
    return sum(weight * digit for weight, digit in zip(_WEIGHTS, digits, strict=True))
