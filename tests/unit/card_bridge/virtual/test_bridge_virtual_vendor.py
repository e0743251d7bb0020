"""What one vendor added to PIV."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from card_bridge.apdu import tlv
from card_bridge.apdu.chain import channel_over
from card_bridge.apdu.model import CommandApdu, Ins
from card_bridge.apdu.ports import Channel
from card_bridge.piv import management, vendor
from card_bridge.piv.card import PivCard
from card_bridge.piv.errors import ManagementKeyRefused
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.virtual import VirtualCard
from card_bridge.virtual.direct import DirectReader


def opened() -> tuple[Channel, PivCard]:
    channel = channel_over(DirectReader(VirtualCard()))
    card = PivCard(channel)
    card.authenticate_management(management.DEFAULT_KEY)
    return channel, card


def status(channel: Channel, instruction: Ins, p1: int, p2: int, data: bytes = b"") -> int:
    return channel.send(CommandApdu(ins=instruction, p1=p1, p2=p2, data=data, extended=len(data) > 255)).status


def test_version_serial_and_metadata() -> None:
    channel, card = opened()
    card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.P_256)

    assert card.version() == "5.4.3"
    assert card.serial()
    pin, key, nothing = (vendor.metadata(channel, reference) for reference in (0x80, 0x9A, 0x9C))
    assert pin is not None and (pin.is_default, pin.tries_total, pin.tries_left) == (True, 3, 3)
    assert key is not None and (key.algorithm, key.generated_on_card) == (AlgorithmReference.P_256, True)
    assert nothing is None


def test_the_management_key_is_replaced_and_the_old_one_no_longer_opens() -> None:
    _, card = opened()
    key = bytes(range(32))

    assert card.set_management_key(AlgorithmReference.AES_256, key)
    with pytest.raises(ManagementKeyRefused):
        card.authenticate_management(management.DEFAULT_KEY)
    assert card.authenticate_management(key) is AlgorithmReference.AES_256


@pytest.mark.parametrize(
    ("p1", "data", "word"),
    [
        (0xFE, "0c9b20" + "00" * 32, 0x6A86),
        (0xFF, "0c9b10" + "00" * 16, 0x6A80),  # length of another algorithm
        (0xFF, "0c9a20" + "00" * 32, 0x6700),  # not the management key
        (0xFF, "0c9b20" + "00" * 31, 0x6700),
        (0xFF, "059b08" + "00" * 8, 0x6A80),
    ],
)
def test_a_malformed_management_key_changes_nothing(p1: int, data: str, word: int) -> None:
    channel, card = opened()

    assert status(channel, Ins.SET_MANAGEMENT_KEY, p1, 0xFF, bytes.fromhex(data)) == word
    assert card.authenticate_management(management.DEFAULT_KEY) is AlgorithmReference.TRIPLE_DES


def test_an_attestation_speaks_for_keys_made_here_and_for_no_others() -> None:
    channel, card = opened()
    public_key = card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.P_256)
    scalar = tlv.encode(0x06, bytes(31) + b"\x05")
    assert status(channel, Ins.IMPORT_KEY, AlgorithmReference.P_256, 0x9C, scalar) == 0x9000

    der = vendor.attestation(channel, 0x9A)
    assert der is not None
    certificate = x509.load_der_x509_certificate(der)
    spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    assert certificate.public_key().public_bytes(*spki) == public_key.public_bytes(*spki)
    content = card.get_data(0x5FFF01)
    assert content is not None
    issuer = x509.load_der_x509_certificate(tlv.find(tlv.parse(content), 0x70) or b"")
    certificate.verify_directly_issued_by(issuer)
    assert status(channel, Ins.ATTEST, 0x9C, 0) == 0x6A80
    assert status(channel, Ins.ATTEST, 0x9D, 0) == 0x6A88
    assert status(channel, Ins.ATTEST, 0x01, 0) == 0x6A86


def test_an_imported_rsa_key_signs() -> None:
    channel, card = opened()
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.private_numbers()
    body = tlv.encode(0x01, numbers.p.to_bytes(128, "big")) + tlv.encode(0x02, numbers.q.to_bytes(128, "big"))

    assert status(channel, Ins.IMPORT_KEY, AlgorithmReference.RSA_2048, 0x9A, body) == 0x9000
    card.verify_pin(bytearray(b"123456"))
    signature = card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.RS256)
    assert pow(int.from_bytes(signature, "big"), 65537, numbers.public_numbers.n)


@pytest.mark.parametrize(
    ("algorithm", "body"),
    [
        (AlgorithmReference.P_256, tlv.encode(0x06, bytes(32))),
        (AlgorithmReference.P_256, b"\x06\xff"),
        (AlgorithmReference.RSA_2048, tlv.encode(0x01, b"\x0b") + tlv.encode(0x02, b"\x0d")),
        (AlgorithmReference.RSA_2048, b""),
        (AlgorithmReference.RSA_1024, b""),
    ],
)
def test_what_is_no_key_is_not_imported(algorithm: int, body: bytes) -> None:
    channel, _ = opened()

    assert status(channel, Ins.IMPORT_KEY, algorithm, 0x9A, body) == 0x6A80
    assert vendor.metadata(channel, 0x9A) is None


def test_a_key_with_a_pin_policy_of_its_own() -> None:
    channel, _ = opened()
    never = bytes.fromhex("ac06800111aa0101")
    assert status(channel, Ins.GENERATE_KEY_PAIR, 0, 0x9A, never) == 0x9000
    template = tlv.encode(0x7C, tlv.Tlv(0x82), tlv.Tlv(0x81, bytes(32)))

    assert status(channel, Ins.GENERAL_AUTHENTICATE, 0x11, 0x9A, template) == 0x9000


def test_only_a_card_with_both_secrets_blocked_can_be_reset() -> None:
    channel, card = opened()
    card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.P_256)
    assert status(channel, Ins.FACTORY_RESET, 0, 0) == 0x6985
    for _ in range(3):
        status(channel, Ins.VERIFY, 0, 0x80, b"999999\xff\xff")
    assert status(channel, Ins.FACTORY_RESET, 0, 0) == 0x6985
    for _ in range(3):
        status(channel, Ins.RESET_RETRY_COUNTER, 0, 0x80, b"99999999999999\xff\xff")

    assert status(channel, Ins.FACTORY_RESET, 0, 0) == 0x9000
    assert card.pin_tries_left() == 3
    assert vendor.metadata(channel, 0x9A) is None


def test_the_number_of_tries_is_set_with_key_and_pin() -> None:
    channel, card = opened()
    assert status(channel, Ins.SET_TRIES, 5, 7) == 0x6982
    card.verify_pin(bytearray(b"123456"))
    assert status(channel, Ins.SET_TRIES, 0, 7) == 0x6A86

    assert status(channel, Ins.SET_TRIES, 5, 7) == 0x9000
    assert card.pin_tries_left() == 5


def test_curves_beyond_the_card_are_refused() -> None:
    channel, _ = opened()
    assert status(channel, Ins.GENERATE_KEY_PAIR, 0, 0x9A, bytes.fromhex("ac03800115")) == 0x6A80
