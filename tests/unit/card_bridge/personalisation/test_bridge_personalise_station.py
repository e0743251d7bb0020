"""The station on virtual cards: what it leaves, what it refuses, and power lost between any two octets."""

import base64
import io
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from card_bridge.personalisation import run_personalise
from card_bridge.personalisation.errors import BadRequest, CertificateMismatch
from card_bridge.personalisation.model import FactorySecrets, Order
from card_bridge.personalisation.piv_card import ReaderBench
from card_bridge.personalisation.station import Station
from card_bridge.piv.errors import (
    AlreadyPersonalised,
    CardFault,
    CardRemoved,
    ManagementKeyRefused,
    NoCard,
    NoReader,
    WriteNotConfirmed,
    WrongCard,
)
from card_bridge.piv.management import DEFAULT_KEY
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.piv.objects import ObjectTag
from card_bridge.virtual import PLAIN_CARD, VENDOR_CARD, CardProfile, Moment, Removal, VirtualCard
from card_bridge.virtual.direct import DirectReader, DirectReaders

NUMBER = "8812345678901234"
EC_KEYS = dict.fromkeys((Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.ENCRYPTION), KeyAlgorithm.P_256)
ISSUER_KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Throwaway CA")])
BOTH_KINDS = pytest.mark.parametrize("profile", [VENDOR_CARD, PLAIN_CARD], ids=["vendor", "plain"])


def order(*, card_number: str = NUMBER, management_key: bytes = bytes(range(32)), again: bool = False) -> Order:
    return Order(
        card_number=card_number,
        keys=EC_KEYS,
        pin=b"246813",
        puk=b"97531864",
        management_key=management_key,
        again=again,
    )


def certify(requests: Mapping[Slot, bytes]) -> dict[Slot, bytes]:
    certificates = {}
    for slot, der in requests.items():
        request = x509.load_der_x509_csr(der)
        assert request.is_signature_valid
        certificate = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(ISSUER)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=365))
            .sign(ISSUER_KEY, SHA256())
        )
        certificates[slot] = certificate.public_bytes(serialization.Encoding.DER)
    return certificates


def station(reader: DirectReader) -> Station:
    return Station(ReaderBench(DirectReaders(it=reader), None, FactorySecrets()))


def personalise(reader: DirectReader, wanted: Order) -> bool:
    bench = station(reader)
    return bench.write(certify(bench.generate(wanted))).management_key_replaced


def expect_finished(reader: DirectReader, wanted: Order, *, vendor: bool) -> None:
    with DirectReaders(it=reader).connect("it") as card:
        assert card.card_number() == wanted.card_number
        assert card.get_data(ObjectTag.CCC)
        assert card.discovery()
        assert card.pin_tries_left() == 3
        for slot in wanted.keys:
            certificate = x509.load_der_x509_certificate(card.certificate(slot) or b"")
            public_key = certificate.public_key()
            assert isinstance(public_key, ec.EllipticCurvePublicKey)
            card.verify_pin(bytearray(wanted.pin))
            signature = card.sign(slot, bytes(32), SignatureAlgorithm.ES256)
            assert len(signature) == 64
        card.unblock_pin(bytearray(wanted.puk), bytearray(wanted.pin))
        if vendor:
            with pytest.raises(ManagementKeyRefused):
                card.authenticate_management(DEFAULT_KEY)
            card.authenticate_management(wanted.management_key)


@BOTH_KINDS
def test_a_blank_card_becomes_a_citizens(profile: CardProfile) -> None:
    reader = DirectReader(VirtualCard(profile=profile))

    replaced = personalise(reader, order())

    assert replaced is profile.vendor_extensions
    expect_finished(reader, order(), vendor=profile.vendor_extensions)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_management_keys_of_every_length(size: int) -> None:
    reader = DirectReader(VirtualCard())
    wanted = order(management_key=bytes(range(1, size + 1)))

    assert personalise(reader, wanted)
    expect_finished(reader, wanted, vendor=True)


@BOTH_KINDS
def test_a_finished_card_is_not_overwritten_unless_told_to(profile: CardProfile) -> None:
    reader = DirectReader(VirtualCard(profile=profile))
    personalise(reader, order())
    with DirectReaders(it=reader).connect("it") as card:
        before = card.certificate(Slot.AUTHENTICATION)

    for wanted in (order(), order(card_number="1111222233334444")):
        with pytest.raises(AlreadyPersonalised):
            station(reader).generate(wanted)
    with DirectReaders(it=reader).connect("it") as card:
        assert card.certificate(Slot.AUTHENTICATION) == before
        assert card.card_number() == NUMBER

    personalise(reader, order(again=True))
    with DirectReaders(it=reader).connect("it") as card:
        assert card.certificate(Slot.AUTHENTICATION) not in (None, before)


@BOTH_KINDS
@pytest.mark.parametrize("moment", Moment)
def test_power_lost_at_any_command_of_either_order_is_made_good(profile: CardProfile, moment: Moment) -> None:
    count, reader = 0, DirectReader(VirtualCard(profile=profile))
    while True:
        count += 1
        card = VirtualCard(profile=profile)
        reader = DirectReader(card, plan=Removal(count=count, moment=moment))
        try:
            personalise(reader, order())
        except CardRemoved:
            reader.card = card
        else:
            break
        try:
            personalise(reader, order())
        except AlreadyPersonalised:
            # All was written and only the last answers were lost: nothing of the card may be missing.
            assert count > 30
    assert count > 40
    reader.plan = None
    expect_finished(reader, order(), vendor=profile.vendor_extensions)


@BOTH_KINDS
@pytest.mark.parametrize("moment", Moment)
def test_what_a_loss_of_power_left_is_a_whole_card(profile: CardProfile, moment: Moment) -> None:
    for count in range(1, 200, 3):
        card = VirtualCard(profile=profile)
        reader = DirectReader(card, plan=Removal(count=count, moment=moment))
        try:
            personalise(reader, order())
            break
        except CardRemoved:
            reader.card = card
        personalise(reader, order(again=True))
        expect_finished(reader, order(), vendor=profile.vendor_extensions)


def test_a_card_with_an_unknown_management_key_is_left_alone() -> None:
    reader = DirectReader(VirtualCard(profile=CardProfile(management_key=bytes(range(24)))))

    with pytest.raises(ManagementKeyRefused):
        station(reader).generate(order())

    with DirectReaders(it=reader).connect("it") as card:
        assert card.card_number() is None
        assert card.pin_tries_left() == 3


def test_a_certificate_for_another_key_is_written_nowhere() -> None:
    reader = DirectReader(VirtualCard())
    bench = station(reader)
    certificates = certify(bench.generate(order()))
    swapped = certificates | {Slot.SIGNATURE: certificates[Slot.AUTHENTICATION]}

    with pytest.raises(CertificateMismatch):
        bench.write(swapped)
    with pytest.raises(BadRequest):
        bench.write({Slot.AUTHENTICATION: certificates[Slot.AUTHENTICATION]})
    with pytest.raises(BadRequest):
        bench.write(certificates | {Slot.SIGNATURE: b"\x30\x00"})
    with DirectReaders(it=reader).connect("it") as card:
        assert all(card.certificate(slot) is None for slot in EC_KEYS)
    bench.write(certificates)
    with pytest.raises(BadRequest):
        bench.write(certificates)


def test_another_card_put_in_between_is_noticed() -> None:
    reader = DirectReader(VirtualCard())
    bench = station(reader)
    certificates = certify(bench.generate(order()))
    other = DirectReader(VirtualCard())
    station(other).generate(order(card_number="1111222233334444"))
    reader.card = other.card

    with pytest.raises(WrongCard):
        bench.write(certificates)


def test_a_card_that_does_not_keep_what_is_written_is_noticed() -> None:
    class Forgetful(DirectReader):
        def transmit(self, command: bytearray) -> bytes:
            asked = command[:2] == b"\x00\xcb" and b"\x5f\xc1\x0a" in command
            answer = super().transmit(command)
            return b"\x6a\x82" if asked else answer

    reader = Forgetful(VirtualCard())
    bench = station(reader)
    with pytest.raises(WriteNotConfirmed):
        bench.write(certify(bench.generate(order())))


@pytest.mark.parametrize(
    ("readers", "error"),
    [
        ({}, NoReader),
        ({"one": DirectReader()}, NoCard),
        ({"one": DirectReader(VirtualCard()), "two": DirectReader(VirtualCard())}, CardFault),
    ],
)
def test_the_reader_must_be_clear(readers: dict[str, DirectReader], error: type[Exception]) -> None:
    with pytest.raises(error):
        Station(ReaderBench(DirectReaders(**readers), None, FactorySecrets())).generate(order())


KEYS = [{"slot": "9A", "algorithm": "p256"}]


def test_a_card_that_is_put_in_late_is_waited_for() -> None:
    reader = DirectReader()
    readers = DirectReaders(it=reader)
    bench = Station(ReaderBench(readers, "it", FactorySecrets(), patience_s=10))
    timer = threading.Timer(0.2, lambda: setattr(reader, "card", VirtualCard()))
    timer.start()

    assert set(bench.generate(order())) == set(EC_KEYS)
    timer.join()


GENERATE: dict[str, object] = {
    "do": "generate",
    "card_number": NUMBER,
    "keys": KEYS,
    "pin": "246813",
    "puk": "97531864",
    "management_key": "00" * 24,
}


def speak(*lines: bytes, reader: DirectReader | None = None) -> tuple[int, list[dict[str, object]]]:
    out = io.BytesIO()
    readers = DirectReaders(it=reader or DirectReader(VirtualCard()))
    stdin = io.BytesIO(b"\n".join(lines) + b"\n")
    status = run_personalise(stdin=stdin, stdout=out, readers=readers, patience_s=0)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_protocol_on_lines() -> None:
    reader = DirectReader(VirtualCard())
    out = io.BytesIO()
    first = json.dumps(GENERATE).encode() + b"\n"

    def lines() -> bytes:
        answer = json.loads(out.getvalue())
        requests = {Slot(key["slot"]): base64.b64decode(key["csr"]) for key in answer["keys"]}
        certificates = [
            {"slot": slot, "certificate": base64.b64encode(der).decode()} for slot, der in certify(requests).items()
        ]
        return json.dumps({"do": "write", "certificates": certificates}).encode() + b"\n"

    class Stdin(io.BytesIO):
        def __init__(self) -> None:
            super().__init__()
            self.turn = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.turn += 1
            return {1: lambda: first, 2: lines}.get(self.turn, bytes)()

    assert run_personalise(stdin=Stdin(), stdout=out, readers=DirectReaders(it=reader)) == 0
    generated, written = (json.loads(line) for line in out.getvalue().splitlines())
    assert generated["done"] == "generate"
    assert (written["done"], written["card_number"]) == ("write", NUMBER)
    assert [entry["slot"] for entry in written["read_back"]] == ["9A"]


CHANGES: tuple[dict[str, object], ...] = (
    {"card_number": "12"},
    {"card_number": 12},
    {"keys": []},
    {"keys": [{"slot": "9B", "algorithm": "p256"}]},
    {"keys": [{"slot": "9A", "algorithm": "p521"}]},
    {"keys": KEYS * 2},
    {"pin": "12345"},
    {"pin": "abcdef"},
    {"pin": None},
    {"puk": "1"},
    {"management_key": "00"},
    {"management_key": "zz"},
)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"do":"erase"}',
        b'{"do":"write"}',
        b'{"do":"write","certificates":[{"slot":"9A","certificate":"!"}]}',
        b'{"do":"write","certificates":[]}x',
        *(json.dumps(GENERATE | change).encode() for change in CHANGES),
        b"{" + b" " * 70_000 + b"}",
    ],
)
def test_a_line_that_is_no_order_touches_no_card(line: bytes) -> None:
    reader = DirectReader(VirtualCard())

    status, answers = speak(line, reader=reader)

    assert status == 1
    assert answers[-1]["error"] == "bad_request"
    assert "2468" not in json.dumps(answers)
    assert reader.sent == []


def test_a_failure_is_told_by_its_code() -> None:
    status, answers = speak(json.dumps(GENERATE).encode(), reader=DirectReader())

    assert (status, answers[0]["error"]) == (1, "no_card")
