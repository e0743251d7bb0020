"""The client against virtual cards of every kind, and against cards that lie."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from card_bridge.apdu import tlv
from card_bridge.apdu.chain import channel_over
from card_bridge.piv import management
from card_bridge.piv.card import PivCard
from card_bridge.piv.card_number import guid_of
from card_bridge.piv.errors import (
    CardError,
    CardFault,
    CardNotPersonalised,
    CardRemoved,
    ManagementKeyRefused,
    PinBlocked,
    PinIncorrect,
    PinMalformed,
    PinRequired,
    PukBlocked,
    PukIncorrect,
    WrongCard,
)
from card_bridge.piv.management import DEFAULT_KEY
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.piv.objects import Chuid, ObjectTag, build_certificate, build_compressed_certificate
from card_bridge.virtual import PLAIN_CARD, VENDOR_CARD, CardProfile, Moment, Removal, VirtualCard
from card_bridge.virtual.direct import DirectReader, DirectReaders
from card_bridge.virtual.profile import CONTACT_T0

PROFILES = [VENDOR_CARD, PLAIN_CARD, CardProfile(atr=CONTACT_T0), CardProfile(atr=CONTACT_T0, vendor_extensions=False)]
KINDS = ["vendor", "plain", "vendor-t0", "plain-t0"]


@pytest.fixture(params=PROFILES, ids=KINDS)
def reader(request: pytest.FixtureRequest) -> DirectReader:
    return DirectReader(VirtualCard(profile=request.param))


@contextmanager
def connected(reader: DirectReader) -> Iterator[PivCard]:
    with DirectReaders(it=reader).connect("it") as card:
        yield card


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_signatures_of_every_kind_verify(reader: DirectReader, algorithm: KeyAlgorithm) -> None:
    scheme = SignatureAlgorithm.for_key(algorithm)
    digest = bytes(range(scheme.digest_size))
    with connected(reader) as card:
        card.authenticate_management(DEFAULT_KEY)
        public_key = card.generate_key(Slot.SIGNATURE, algorithm)
        with pytest.raises(PinRequired):
            card.sign(Slot.SIGNATURE, digest, scheme)
        for _ in range(2):
            card.verify_pin(bytearray(b"123456"))
            signature = card.sign(Slot.SIGNATURE, digest, scheme)
            if isinstance(public_key, rsa.RSAPublicKey):
                public_key.verify(signature, digest, padding.PKCS1v15(), Prehashed(SHA256()))
            else:
                half = len(signature) // 2
                der = encode_dss_signature(
                    int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
                )
                hash_algorithm = SHA384() if scheme is SignatureAlgorithm.ES384 else SHA256()
                public_key.verify(der, digest, ec.ECDSA(Prehashed(hash_algorithm)))
        with pytest.raises(PinRequired):
            card.sign(Slot.SIGNATURE, digest, scheme)


def test_an_encryption_key_agrees_and_decrypts(reader: DirectReader) -> None:
    with connected(reader) as card:
        card.authenticate_management(DEFAULT_KEY)
        public_key = card.generate_key(Slot.ENCRYPTION, KeyAlgorithm.P_384)
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        peer = ec.generate_private_key(ec.SECP384R1())
        card.verify_pin(bytearray(b"123456"))
        assert card.agree(Slot.ENCRYPTION, peer.public_key()) == peer.exchange(ec.ECDH(), public_key)
        with pytest.raises(ValueError, match="curve"):
            card.agree(Slot.ENCRYPTION, ec.generate_private_key(ec.SECP521R1()).public_key())

        rsa_key = card.generate_key(Slot.ENCRYPTION, KeyAlgorithm.RSA_2048)
        assert isinstance(rsa_key, rsa.RSAPublicKey)
        ciphertext = rsa_key.encrypt(b"a letter", padding.PKCS1v15())
        assert card.decrypt_rsa(Slot.ENCRYPTION, ciphertext) == b"a letter"
        with pytest.raises(CardFault, match="decryption failed"):
            card.decrypt_rsa(Slot.ENCRYPTION, bytes(255) + b"\x02")
        with pytest.raises(ValueError, match="RSA"):
            card.decrypt_rsa(Slot.ENCRYPTION, b"short")


def test_pin_and_puk_from_first_to_last_try(reader: DirectReader) -> None:
    with connected(reader) as card:
        assert card.pin_tries_left() == 3
        for tries_left in (2, 1):
            with pytest.raises(PinIncorrect) as refusal:
                card.verify_pin(bytearray(b"999999"))
            assert refusal.value.tries_left == tries_left
        with pytest.raises(PinBlocked):
            card.verify_pin(bytearray(b"999999"))
        assert card.pin_tries_left() == 0
        with pytest.raises(PinBlocked):
            card.verify_pin(bytearray(b"123456"))
        with pytest.raises(PinBlocked):
            card.change_pin(bytearray(b"123456"), bytearray(b"654321"))
        with pytest.raises(PukIncorrect) as wrong_puk:
            card.unblock_pin(bytearray(b"00000000"), bytearray(b"654321"))
        assert wrong_puk.value.tries_left == 2
        card.change_puk(bytearray(b"12345678"), bytearray(b"8765432"))
        card.unblock_pin(bytearray(b"8765432"), bytearray(b"654321"))
        card.verify_pin(bytearray(b"654321"))
        for expected in (PukIncorrect, PukIncorrect, PukBlocked, PukBlocked):
            with pytest.raises(expected):
                card.change_puk(bytearray(b"1"), bytearray(b"2"))


@pytest.mark.parametrize("pin", [b"", b"12345", b"123456789", b"12345a", "１２３４５６".encode(), b"123456\xff\xff"])
def test_a_pin_that_cannot_be_right_costs_no_try(reader: DirectReader, pin: bytes) -> None:
    with connected(reader) as card:
        buffer = bytearray(pin)
        with pytest.raises(PinMalformed) as refusal:
            card.verify_pin(buffer)
        assert refusal.value.tries_left == 3
        assert not any(buffer)
        with pytest.raises(PinMalformed):
            card.change_pin(bytearray(b"123456"), bytearray(pin))
        assert card.pin_tries_left() == 3


def test_secrets_are_wiped_and_in_no_log_error_or_repr(reader: DirectReader, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [bytearray(b"97531086") for _ in range(8)]
    errors: list[CardError] = []
    with connected(reader) as card:
        acts: list[Callable[[], None]] = [
            lambda: card.verify_pin(secrets[0]),
            lambda: card.change_pin(secrets[1], secrets[2]),
            lambda: card.unblock_pin(secrets[3], secrets[4]),
            lambda: card.change_puk(secrets[5], secrets[6]),
        ]
        for act in acts:
            with pytest.raises(CardError) as refusal:
                act()
            errors.append(refusal.value)
        reader.card = None
        with pytest.raises(CardRemoved):
            card.verify_pin(secrets[7])

    assert not any(any(secret) for secret in secrets)
    said = caplog.text + "".join(f"{error!r} {error} {error.detail} {error.args}" for error in errors)
    assert "97531086" not in said and "9753" not in said


def test_objects_are_written_and_read(reader: DirectReader) -> None:
    with connected(reader) as card:
        assert (card.card_number(), card.certificate(Slot.AUTHENTICATION)) == (None, None)
        with pytest.raises(ManagementKeyRefused):
            card.put_data(ObjectTag.CHUID, b"x")
        card.authenticate_management(DEFAULT_KEY)
        card.put_data(ObjectTag.CHUID, Chuid(guid=guid_of("0000000000000042"), expires="20991231").build())
        der = bytes(range(256)) * 7
        card.put_data(ObjectTag.CERTIFICATE_9A, build_certificate(der))
        card.put_data(ObjectTag.CERTIFICATE_9C, build_compressed_certificate(der))
    with connected(reader) as card:
        assert card.card_number() == "0000000000000042"
        assert card.certificate(Slot.AUTHENTICATION) == der
        assert card.certificate(Slot.SIGNATURE) == der
        discovery = card.discovery()
        assert discovery is not None and not discovery.global_pin


def test_a_key_that_is_not_there(reader: DirectReader) -> None:
    with connected(reader) as card:
        card.verify_pin(bytearray(b"123456"))
        with pytest.raises(CardNotPersonalised):
            card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.ES256)
        card.authenticate_management(DEFAULT_KEY)
        card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.P_384)
        with pytest.raises(CardNotPersonalised):
            card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.ES256)
        with pytest.raises(ValueError, match="48"):
            card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.ES384)


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [
        (AlgorithmReference.AES_128, 16),
        (AlgorithmReference.AES_192, 24),
        (AlgorithmReference.AES_256, 32),
        (AlgorithmReference.TRIPLE_DES, 24),
    ],
)
@pytest.mark.parametrize("vendor_extensions", [True, False])
def test_management_keys_of_every_algorithm(algorithm: AlgorithmReference, size: int, vendor_extensions: bool) -> None:
    key = bytes(range(1, size + 1))
    profile = CardProfile(vendor_extensions=vendor_extensions, management_key=key, management_algorithm=algorithm)
    with connected(DirectReader(VirtualCard(profile=profile))) as card:
        assert card.authenticate_management(key) is algorithm
        with pytest.raises(ManagementKeyRefused):
            card.authenticate_management(bytes(size))
        with pytest.raises(ManagementKeyRefused):
            card.authenticate_management(b"short")


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("count", range(1, 8))
def test_a_card_pulled_out_at_any_step_says_so(reader: DirectReader, count: int, moment: Moment) -> None:
    with connected(reader) as card:
        card.authenticate_management(DEFAULT_KEY)
        card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.P_256)
    reader.plan = Removal(count=count, moment=moment)
    pin = bytearray(b"123456")
    with pytest.raises(CardRemoved), connected(reader) as card:
        card.card_number()
        card.certificate(Slot.AUTHENTICATION)
        card.pin_tries_left()
        card.verify_pin(pin)
        for _ in range(8):
            card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.ES256)


@dataclass
class Liar:
    """Answers SELECT rightly and everything else with one answer."""

    answer: bytes

    def transmit(self, command: bytearray) -> bytes:
        return b"\x61\x00\x90\x00" if command[1] == 0xA4 else self.answer


def test_a_card_without_the_application_is_the_wrong_one() -> None:
    class Other:
        def transmit(self, command: bytearray) -> bytes:
            return b"\x6a\x82"

    with pytest.raises(WrongCard):
        PivCard(channel_over(Other()))


OK = b"\x90\x00"
SIGNED = tlv.encode(0x7C, tlv.Tlv(0x82, bytes(8)))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x90",
        OK,
        b"\x00" + OK,
        b"\x53\x05\x00" + OK,
        b"\x7e\x00" + OK,
        b"\x6f\x00",
        b"\x61\x00",
        b"\x53\x02\x70\x09" + OK,
        SIGNED + OK,
        tlv.encode(0x7C, tlv.Tlv(0x81)) + OK,
        tlv.encode(0x7C, tlv.Tlv(0x82, encode_dss_signature(1 << 300, 1))) + OK,
        tlv.encode(0x7F49, tlv.Tlv(0x86, b"\x04" + bytes(64))) + OK,
        tlv.encode(0x7F49, tlv.Tlv(0x81, b"\xff" * 128)) + OK,
    ],
)
def test_a_card_that_talks_nonsense_is_a_card_fault(answer: bytes) -> None:
    card = PivCard(channel_over(Liar(answer)))
    peer = ec.generate_private_key(ec.SECP256R1()).public_key()

    for act in (
        lambda: card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.ES256),
        lambda: card.sign(Slot.AUTHENTICATION, bytes(32), SignatureAlgorithm.RS256),
        lambda: card.agree(Slot.ENCRYPTION, peer),
        lambda: card.decrypt_rsa(Slot.ENCRYPTION, bytes(256)),
        lambda: card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.P_256),
        lambda: card.generate_key(Slot.AUTHENTICATION, KeyAlgorithm.RSA_2048),
        lambda: card.authenticate_management(DEFAULT_KEY),
    ):
        with pytest.raises((CardFault, ManagementKeyRefused)):
            act()
    for read in (card.card_number, card.discovery, lambda: card.certificate(Slot.AUTHENTICATION)):
        try:
            assert read() is None
        except CardFault:
            continue


def test_a_card_that_only_pretends_to_know_the_management_key_is_refused() -> None:
    class Pretender:
        def transmit(self, command: bytearray) -> bytes:
            if command[1] == 0xA4:
                return b"\x61\x00" + OK
            if command[1] != 0x87:
                return b"\x6d\x00"
            tag = 0x80 if len(command) < 15 else 0x82
            return tlv.encode(0x7C, tlv.Tlv(tag, bytes(8))) + OK

    with pytest.raises(ManagementKeyRefused):
        management.authenticate(channel_over(Pretender()), DEFAULT_KEY, AlgorithmReference.TRIPLE_DES, bytes)


def test_a_certificate_that_unpacks_without_end_is_refused() -> None:
    bomb = build_compressed_certificate(bytes(1_000_000))
    card = PivCard(channel_over(Liar(tlv.encode(0x53, bomb) + OK)))

    with pytest.raises(CardFault, match="too large"):
        card.certificate(Slot.AUTHENTICATION)
