"""Keys that can be broken from their public half."""

import random
from math import gcd, prod

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ca_core.issuance.errors import KeyRefused
from ca_core.issuance.weak_keys import verify_strong_key
from ca_core.keys import KeyAlgorithm
from ca_core.keys.model import PUBLIC_EXPONENT
from support.pki import new_key

RANDOM = random.Random(20260302)  # noqa: S311 - repeatable on purpose


def is_probable_prime(number: int) -> bool:
    if any(number % small == 0 for small in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    return all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11, 13))


def next_prime(number: int) -> int:
    number |= 1
    while not is_probable_prime(number):
        number += 2
    return number


def random_prime(bits: int) -> int:
    return next_prime(RANDOM.getrandbits(bits) | 3 << (bits - 2))


def fingerprinted_prime(bits: int) -> int:
    """A prime of the form k * M + (65537^a mod M), as the affected chip made them; M as for 2,048-bit keys."""
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, int(n**0.5) + 1))]
    modulus = prod(primes)
    spare = bits - modulus.bit_length()
    while True:
        k, a = RANDOM.getrandbits(spare) | 1 << (spare - 1), RANDOM.getrandbits(64)
        candidate = k * modulus + pow(PUBLIC_EXPONENT, a, modulus)
        if gcd(candidate, modulus) == 1 and is_probable_prime(candidate):
            return candidate


def key_of(modulus: int, exponent: int = PUBLIC_EXPONENT) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.RSA_3072, KeyAlgorithm.P_256])
def test_a_good_key_passes(algorithm: KeyAlgorithm) -> None:
    verify_strong_key(new_key(algorithm).public_key())


@pytest.mark.parametrize("exponent", [3, 17, 65539, 2**32 + 1])
def test_another_exponent_is_refused(exponent: int) -> None:
    modulus = random_prime(1024) * random_prime(1024)
    with pytest.raises(KeyRefused, match="exponent"):
        verify_strong_key(key_of(modulus, exponent))


@pytest.mark.parametrize("factor", [3, 5, 751])
def test_a_small_factor_is_refused(factor: int) -> None:
    with pytest.raises(KeyRefused, match="small factor"):
        verify_strong_key(key_of(factor * random_prime(1024) * random_prime(1023)))


@pytest.mark.parametrize("distance", [2, 2**20, 2**500], ids=["next", "20 bits", "500 bits"])
def test_close_primes_are_refused(distance: int) -> None:
    first = random_prime(1024)
    with pytest.raises(KeyRefused, match="close together"):
        verify_strong_key(key_of(first * next_prime(first + distance)))


def test_the_fingerprint_of_the_card_chips_library_is_refused() -> None:
    with pytest.raises(KeyRefused, match="CVE-2017-15361"):
        verify_strong_key(key_of(fingerprinted_prime(1024) * fingerprinted_prime(1024)))
    verify_strong_key(key_of(fingerprinted_prime(1024) * random_prime(1024)))
