"""Card numbers: sixteen digits. Pure.

The first digit is the scheme, 1. Fourteen digits are random, so that a number tells neither when nor where the card was
made, nor which numbers its neighbours have. The last is the check digit of ISO/IEC 7064 MOD 11,10, which finds every
wrong digit and nearly every pair of digits in the wrong order.
"""

import re
from typing import Final

from ca_core.cards.errors import CardNumberMalformed
from ca_core.kernel.rng import Rng

_SCHEME: Final = "1"
_GRAMMAR = re.compile(r"1[0-9]{15}")
_RANDOM_DIGITS: Final = 14


def new_card_number(rng: Rng) -> str:
    """A number nobody can foresee. That it is free is for the table's key to say."""
    body = int.from_bytes(rng(16), "big") % 10**_RANDOM_DIGITS
    digits = f"{_SCHEME}{body:0{_RANDOM_DIGITS}d}"
    return digits + check_digit(digits)


def verify_card_number(text: str) -> None:
    """Accept iff it is a number of this scheme with a right check digit. Raises: CardNumberMalformed."""
    if not isinstance(text, str) or not _GRAMMAR.fullmatch(text) or check_digit(text[:-1]) != text[-1]:
        raise CardNumberMalformed


def check_digit(digits: str) -> str:
    """The check digit for decimal digits. Spec: ISO/IEC 7064, hybrid system MOD 11,10."""
    product = 10
    for digit in digits:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - product) % 10)
