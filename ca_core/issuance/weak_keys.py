"""Keys that can be broken from their public half alone. Pure.

Checked: exponent, small factors, primes close together (Fermat), and the fingerprint of the primes that a widespread
card chip made until 2017 (CVE-2017-15361: Nemec et al., "The Return of Coppersmith's Attack", 2017, s2.3).
"""

from math import gcd, isqrt, prod

from cryptography.hazmat.primitives.asymmetric import rsa

from ca_core.issuance.errors import KeyRefused
from ca_core.keys.model import PUBLIC_EXPONENT, PublicKey

_FERMAT_ROUNDS = 100


def _primes_below(limit: int) -> tuple[int, ...]:
    return tuple(n for n in range(3, limit) if all(n % divisor for divisor in range(2, isqrt(n) + 1)))


_SMALL_FACTORS = prod(_primes_below(752))
_FINGERPRINT_PRIMES = _primes_below(168)


def _powers(base: int, modulus: int) -> frozenset[int]:
    found, value = set(), 1
    while value not in found:
        found.add(value)
        value = value * base % modulus
    return frozenset(found)


_SQUARES_MOD_64, _SQUARES_MOD_63, _SQUARES_MOD_65, _SQUARES_MOD_11 = (
    frozenset(root * root % modulus for root in range(modulus)) for modulus in (64, 63, 65, 11)
)
_SUBGROUPS = tuple((prime, _powers(PUBLIC_EXPONENT, prime)) for prime in _FINGERPRINT_PRIMES)


def verify_strong_key(key: PublicKey) -> None:
    """Accepts a key that none of the checks can break. Raises: KeyRefused.

    A point off its curve cannot get here: cryptography does not load one.
    """
    if not isinstance(key, rsa.RSAPublicKey):
        return
    numbers = key.public_numbers()
    modulus = numbers.n
    if numbers.e != PUBLIC_EXPONENT:
        raise KeyRefused(f"the public exponent is not {PUBLIC_EXPONENT}")
    if modulus % 2 == 0 or gcd(modulus, _SMALL_FACTORS) != 1:
        raise KeyRefused("the modulus has a small factor")
    if all(modulus % prime in subgroup for prime, subgroup in _SUBGROUPS):
        raise KeyRefused("the primes have the fingerprint of CVE-2017-15361")
    if _has_close_factors(modulus):
        raise KeyRefused("the primes are close together")


def _has_close_factors(modulus: int) -> bool:
    """Fermat's method, a bounded number of rounds: is middle^2 - modulus a square?

    A square is one modulo 64 and modulo 45,045; fewer than two numbers in a hundred pass both, and only for those is
    a root taken.
    """
    middle = isqrt(modulus - 1) + 1
    difference = middle * middle - modulus
    for _ in range(_FERMAT_ROUNDS):
        if difference & 63 in _SQUARES_MOD_64 and _is_square(difference):
            return True
        difference += 2 * middle + 1
        middle += 1
    return False


def _is_square(number: int) -> bool:
    residue = number % 45_045
    return (
        residue % 63 in _SQUARES_MOD_63
        and residue % 65 in _SQUARES_MOD_65
        and residue % 11 in _SQUARES_MOD_11
        and isqrt(number) ** 2 == number
    )
