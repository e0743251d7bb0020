"""Card numbers, management keys, certification requests, codes and states."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.cards import (
    CardNumberMalformed,
    CardSlot,
    CardState,
    CardStateRefused,
    CertificationRequestRefused,
    ManagementKeys,
    OrderRefused,
    new_card_number,
    verify_card_number,
)
from ca_core.cards.card_number import check_digit
from ca_core.cards.model import PROFILES, certificate_request_id, verify_codes, verify_may_follow
from ca_core.cards.requests import verify_requests
from ca_core.kernel.errors import ConfigurationError
from ca_core.keys import KeyAlgorithm
from support.fakes import SeededRng

P_256 = KeyAlgorithm.P_256


def test_the_check_digit_is_that_of_iso_7064() -> None:
    assert check_digit("0794") == "5"  # the standard's own example, 07945


def test_new_numbers_are_right_and_differ(rng: SeededRng) -> None:
    numbers = {new_card_number(rng) for _ in range(1_000)}
    assert len(numbers) == 1_000
    for number in numbers:
        verify_card_number(number)
    assert new_card_number(lambda size: bytes(size)).startswith("1" + "0" * 14)


def test_every_wrong_digit_and_nearly_every_swap_is_found(rng: SeededRng) -> None:
    swaps = found = 0
    for _ in range(50):
        number = new_card_number(rng)
        for place in range(1, 16):
            for digit in set("0123456789") - {number[place]}:
                with pytest.raises(CardNumberMalformed):
                    verify_card_number(number[:place] + digit + number[place + 1 :])
        for place in range(1, 15):
            swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
            if swapped != number:
                swaps += 1
                found += not is_right(swapped)
    assert found / swaps > 0.95


@pytest.mark.parametrize("text", ["", "1", "2000000000000005", "１" * 16, "1" * 17, "1000000000000000\n", None, 7])
def test_other_texts_are_no_card_numbers(text: Any) -> None:  # noqa: ANN401 - anything on purpose
    with pytest.raises(CardNumberMalformed):
        verify_card_number(text)


def is_right(text: str) -> bool:
    try:
        verify_card_number(text)
    except CardNumberMalformed:
        return False
    return True


def test_each_card_has_its_own_management_key(rng: SeededRng) -> None:
    first, second = new_card_number(rng), new_card_number(rng)
    keys = ManagementKeys(b"m" * 32)
    assert keys.of(first) == keys.of(first)
    assert keys.of(first) != keys.of(second)
    assert keys.of(first) != ManagementKeys(b"n" * 32).of(first)
    assert len(keys.of(first)) == 24
    with pytest.raises(CardNumberMalformed):
        keys.of("1234")
    with pytest.raises(ConfigurationError):
        ManagementKeys(b"m" * 31)


def request(key: Any, algorithm: Any = None) -> x509.CertificateSigningRequest:  # noqa: ANN401 - keys of many types
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256() if algorithm is None else algorithm or None)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_requests_of_each_algorithm_pass() -> None:
    ordered = {CardSlot.AUTHENTICATION: P_256, CardSlot.SIGNATURE: KeyAlgorithm.RSA_2048, CardSlot.ENCRYPTION: P_256}
    requests = {
        CardSlot.AUTHENTICATION: request(p256()),
        CardSlot.SIGNATURE: request(rsa.generate_private_key(65537, 2048)),
        CardSlot.ENCRYPTION: request(p256()),
    }
    verified = verify_requests(requests, ordered)
    assert {slot: one.csr for slot, one in verified.items()} == requests


def test_a_request_that_another_key_signed_is_refused() -> None:
    good = request(p256()).public_bytes(Encoding.DER)
    other = request(p256()).public_bytes(Encoding.DER)
    signature = x509.load_der_x509_csr(good).signature
    forged = other.replace(x509.load_der_x509_csr(other).signature, signature)
    if len(forged) != len(other):  # the signatures' lengths differ, and so would the DER around them
        forged = other[:-1] + bytes([other[-1] ^ 1])
    with pytest.raises(CertificationRequestRefused):
        verify_requests({CardSlot.SIGNATURE: x509.load_der_x509_csr(forged)}, {CardSlot.SIGNATURE: P_256})


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP384R1()), None),
        (ec.generate_private_key(ec.SECP256K1()), None),
        (rsa.generate_private_key(65537, 2048), None),
        (ed25519.Ed25519PrivateKey.generate(), False),
    ],
)
def test_a_key_of_another_algorithm_is_refused(key: Any, algorithm: Any) -> None:  # noqa: ANN401 - of many types
    with pytest.raises(CertificationRequestRefused):
        verify_requests({CardSlot.SIGNATURE: request(key, algorithm)}, {CardSlot.SIGNATURE: P_256})


def test_missing_surplus_and_repeated_keys_are_refused() -> None:
    key = p256()
    both = {CardSlot.AUTHENTICATION: P_256, CardSlot.SIGNATURE: P_256}
    for requests in (
        {},
        {CardSlot.AUTHENTICATION: request(key)},
        {slot: request(p256()) for slot in CardSlot},
        {CardSlot.AUTHENTICATION: request(key), CardSlot.SIGNATURE: request(key)},
    ):
        with pytest.raises(CertificationRequestRefused):
            verify_requests(requests, both)


@pytest.mark.parametrize(("pin", "puk"), [("123456", "12345678"), ("12345678", "00000000")])
def test_codes(pin: str, puk: str) -> None:
    verify_codes(pin, puk)


@pytest.mark.parametrize(
    ("pin", "puk"),
    [
        ("12345", "12345678"),
        ("123456789", "12345678"),
        ("12345a", "12345678"),
        ("１２３４５６", "12345678"),
        ("123456\n", "12345678"),
        ("123456", "1234567"),
        ("123456", "123456789"),
        (123456, "12345678"),
        ("123456", None),
    ],
)
def test_codes_outside_the_grammar_are_refused_without_being_repeated(pin: Any, puk: Any) -> None:  # noqa: ANN401 - anything on purpose
    with pytest.raises(OrderRefused) as refusal:
        verify_codes(pin, puk)
    assert refusal.value.detail in ("PIN", "PUK")


def test_states_follow_each_other_in_one_direction() -> None:
    allowed = {
        (CardState.PERSONALISING, CardState.ISSUED),
        (CardState.PERSONALISING, CardState.FAILED),
        (CardState.ISSUED, CardState.ACTIVE),
        (CardState.ISSUED, CardState.REPLACED),
        (CardState.ACTIVE, CardState.REPLACED),
    }
    for present in CardState:
        for wanted in CardState:
            if (present, wanted) in allowed:
                verify_may_follow(present, wanted)
            else:
                with pytest.raises(CardStateRefused):
                    verify_may_follow(present, wanted)


def test_one_key_one_purpose() -> None:
    assert set(PROFILES) == set(CardSlot)
    assert len(set(PROFILES.values())) == 3
    assert certificate_request_id("1234567890123456", CardSlot.SIGNATURE) == "card:1234567890123456:9C"
