"""The PC/SC adapter against a real pcscd: every way in which a reader or card fails, and who may use the PIN."""

import threading
from collections.abc import Iterator

import pytest
from bridge_card_kit import NUMBER, PIN, PUK, Bench, bench, child_of, finished_card, told
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from card_bridge.piv.errors import CardError
from card_bridge.piv.model import ReaderState, SignatureAlgorithm, Slot
from card_bridge.piv.pcsc import PcscReaders
from card_bridge.virtual import Moment, PrivateReader, Removal

DIGEST = bytes(range(32))


@pytest.fixture(scope="module")
def table() -> Iterator[Bench]:
    with bench() as one:
        yield one


# What the child does; it alone loads the PC/SC library


def states() -> list[ReaderState] | tuple[str, int | None]:
    try:
        return list(PcscReaders().list())
    except CardError as error:
        return told(error)


def number_in(reader: str) -> str | tuple[str, int | None] | None:
    try:
        with PcscReaders().connect(reader) as card:
            return card.card_number()
    except CardError as error:
        return told(error)


def tries_in(reader: str) -> int | None:
    with PcscReaders().connect(reader) as card:
        return card.pin_tries_left()


def signed_in(reader: str, slot: Slot, pin: bytes) -> bytes | tuple[str, int | None]:
    secret = bytearray(pin)
    try:
        with PcscReaders().connect(reader) as card:
            card.verify_pin(secret)
            assert not any(secret)
            return card.sign(slot, DIGEST, SignatureAlgorithm.ES256)
    except CardError as error:
        return told(error)


def signed_without_pin(reader: str, slot: Slot) -> bytes | tuple[str, int | None]:
    try:
        with PcscReaders().connect(reader) as card:
            return card.sign(slot, DIGEST, SignatureAlgorithm.ES256)
    except CardError as error:
        return told(error)


def unblocked_in(reader: str, puk: bytes, pin: bytes) -> str | tuple[str, int | None]:
    try:
        with PcscReaders().connect(reader) as card:
            card.unblock_pin(bytearray(puk), bytearray(pin))
            return "unblocked"
    except CardError as error:
        return told(error)


def signed_after_another_reset(reader: str) -> int:
    """Our connection sleeps, another resets the card, ours begins anew."""
    from smartcard import scard

    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    _, first, _ = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, protocols)
    _, second, protocol = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, protocols)
    scard.SCardDisconnect(first, scard.SCARD_RESET_CARD)
    from card_bridge.piv.pcsc import PcscTransport

    transport = PcscTransport(scard=scard, context=context, handle=second, protocol=protocol, reader_name=reader)
    transport.begin()
    answer = transport.transmit(bytearray.fromhex("00a4040009a0000003080000100000"))
    transport.close(reset=False)
    scard.SCardReleaseContext(context)
    return int.from_bytes(answer[-2:], "big")


def held(reader: str, seconds: float) -> str:
    """Verify, wait, sign: in between nobody else may come."""
    import time

    with PcscReaders().connect(reader) as card:
        card.verify_pin(bytearray(PIN))
        time.sleep(seconds)
        card.sign(Slot.SIGNATURE, DIGEST, SignatureAlgorithm.ES256)
        return "signed"


def test_readers_cards_and_numbers(table: Bench) -> None:
    first, second = table.reader.names
    one, _ = finished_card()
    other, _ = finished_card(number="1111222233334444")

    assert table.worker.submit(states).result() == [
        ReaderState(name=first, card_present=False),
        ReaderState(name=second, card_present=False),
    ]
    assert table.worker.submit(number_in, first).result() == ("no_card", None)
    assert table.worker.submit(number_in, "Nobody's reader").result() == ("no_reader", None)
    with table.inserted(one), table.inserted(other, 1):
        assert table.worker.submit(number_in, first).result() == NUMBER
        assert table.worker.submit(number_in, second).result() == "1111222233334444"
    assert table.worker.submit(number_in, second).result() == ("no_card", None)


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE])
def test_a_signature_through_pcscd_verifies(table: Bench, slot: Slot) -> None:
    card, certificates = finished_card()
    with table.inserted(card):
        signature = table.worker.submit(signed_in, table.reader.names[0], slot, PIN).result()

    public_key = x509.load_der_x509_certificate(certificates[slot]).public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(signature, bytes)
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    public_key.verify(der, DIGEST, ec.ECDSA(Prehashed(SHA256())))


def test_wrong_pins_to_the_block_and_the_way_back(table: Bench) -> None:
    reader = table.reader.names[0]
    card, _ = finished_card()
    with table.inserted(card):
        attempts = [table.worker.submit(signed_in, reader, Slot.AUTHENTICATION, b"999999").result() for _ in range(4)]
        assert attempts == [("pin_incorrect", 2), ("pin_incorrect", 1), ("pin_blocked", None), ("pin_blocked", None)]
        assert table.worker.submit(tries_in, reader).result() == 0
        assert table.worker.submit(signed_in, reader, Slot.AUTHENTICATION, PIN).result() == ("pin_blocked", None)
        assert table.worker.submit(unblocked_in, reader, b"00000000", b"112233").result() == ("puk_incorrect", 2)
        assert table.worker.submit(unblocked_in, reader, PUK, b"112233").result() == "unblocked"
        assert isinstance(table.worker.submit(signed_in, reader, Slot.AUTHENTICATION, b"112233").result(), bytes)
        assert table.worker.submit(signed_in, reader, Slot.AUTHENTICATION, b"12").result() == ("pin_incorrect", 3)
        assert table.worker.submit(tries_in, reader).result() == 3


def test_the_pin_is_forgotten_when_the_connection_ends(table: Bench) -> None:
    reader = table.reader.names[0]
    card, _ = finished_card()
    with table.inserted(card):
        assert isinstance(table.worker.submit(signed_in, reader, Slot.AUTHENTICATION, PIN).result(), bytes)
        after = table.worker.submit(signed_without_pin, reader, Slot.AUTHENTICATION).result()

    assert after == ("pin_required", None)


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("instruction", [0xA4, 0x20, 0x87])
def test_a_card_pulled_out_half_way(table: Bench, instruction: int, moment: Moment) -> None:
    reader = table.reader.names[0]
    card, _ = finished_card()
    with table.inserted(card) as inserted:
        inserted.plan(Removal(instruction=instruction, moment=moment))
        result = table.worker.submit(signed_in, reader, Slot.SIGNATURE, PIN).result()
        assert inserted.wait_removed()

    assert result == ("card_removed", None)


def test_a_card_put_back_works_again(table: Bench) -> None:
    reader = table.reader.names[0]
    card, _ = finished_card()
    with table.inserted(card) as inserted:
        inserted.plan(Removal(instruction=0x87))
        assert table.worker.submit(signed_in, reader, Slot.SIGNATURE, PIN).result() == ("card_removed", None)
    with table.inserted(card):
        assert isinstance(table.worker.submit(signed_in, reader, Slot.SIGNATURE, PIN).result(), bytes)


def test_another_programs_reset_is_survived(table: Bench) -> None:
    card, _ = finished_card()
    with table.inserted(card):
        assert table.worker.submit(signed_after_another_reset, table.reader.names[0]).result() == 0x9000


def test_no_other_program_comes_between_pin_and_signature(table: Bench) -> None:
    reader = table.reader.names[0]
    card, _ = finished_card()
    with child_of(table.reader) as intruder, table.inserted(card):
        intruder.submit(states).result()
        holding = table.worker.submit(held, reader, 1.0)
        threading.Event().wait(0.5)
        tries = intruder.submit(signed_without_pin, reader, Slot.AUTHENTICATION)

        assert holding.result() == "signed"
        assert tries.result() == ("pin_required", None)


def test_a_service_that_stops_is_no_reader() -> None:
    with PrivateReader() as reader, child_of(reader) as worker:
        assert len(worker.submit(states).result()) == 2
        reader.stop()
        assert worker.submit(states).result() == ("no_reader", None)
        assert worker.submit(number_in, "Virtual PCD 00 00").result() == ("no_reader", None)
