"""The station as a process, through a real pcscd: a card from blank to finished, and the process killed half way."""

import json
import os
import signal
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bridge_card_kit import NUMBER, PIN, PUK, Bench, bench, certify
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from card_bridge.piv.card import PivCard
from card_bridge.piv.model import Slot
from card_bridge.virtual import PLAIN_CARD, VENDOR_CARD, CardProfile, Moment, Removal, VirtualCard
from card_bridge.virtual.direct import DirectReader, DirectReaders

PROGRAM = (
    "import sys; from card_bridge.personalisation import run_personalise;"
    "sys.exit(run_personalise(stdin=sys.stdin.buffer, stdout=sys.stdout.buffer, patience_s=2))"
)
SLOTS = (Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.ENCRYPTION)


@pytest.fixture(scope="module")
def table() -> Iterator[Bench]:
    with bench() as one:
        yield one


class Process:
    """The station, one line at a time."""

    def __init__(self, table: Bench) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **table.reader.env},
        )

    def say(self, document: dict[str, Any]) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(document).encode() + b"\n")
        self.child.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        heard: dict[str, Any] = json.loads(self.child.stdout.readline())
        return heard


@contextmanager
def station(table: Bench) -> Iterator[Process]:
    process = Process(table)
    try:
        yield process
    finally:
        assert process.child.stdin is not None and process.child.stdout is not None
        process.child.stdin.close()
        process.child.wait(30)
        process.child.stdout.close()


def order(algorithm: str = "p256") -> dict[str, Any]:
    return {
        "do": "generate",
        "card_number": NUMBER,
        "keys": [{"slot": slot, "algorithm": algorithm} for slot in SLOTS],
        "pin": PIN.decode(),
        "puk": PUK.decode(),
        "management_key": "0102" * 16,
    }


def certificates_for(answer: dict[str, Any]) -> dict[str, Any]:
    made = certify({Slot(key["slot"]): b64decode(key["csr"]) for key in answer["keys"]})
    entries = [{"slot": slot, "certificate": b64encode(der).decode()} for slot, der in made.items()]
    return {"do": "write", "certificates": entries}


@contextmanager
def opened(card: VirtualCard) -> Iterator[PivCard]:
    with DirectReaders(it=DirectReader(card)).connect("it") as one:
        yield one


@pytest.mark.parametrize("profile", [VENDOR_CARD, PLAIN_CARD], ids=["vendor", "plain"])
@pytest.mark.parametrize("algorithm", ["p256", "rsa2048"])
def test_from_blank_to_finished(table: Bench, profile: CardProfile, algorithm: str) -> None:
    card = VirtualCard(profile=profile)
    with table.inserted(card), station(table) as process:
        process.say(order(algorithm))
        generated = process.hear()
        for key in generated["keys"]:
            request = x509.load_der_x509_csr(b64decode(key["csr"]))
            assert request.is_signature_valid
            kind = ec.EllipticCurvePublicKey if algorithm == "p256" else rsa.RSAPublicKey
            assert isinstance(request.public_key(), kind)
        writing = certificates_for(generated)
        process.say(writing)
        written = process.hear()

    assert process.child.returncode == 0
    assert (written["done"], written["card_number"]) == ("write", NUMBER)
    assert written["read_back"] == writing["certificates"]
    assert written["management_key_replaced"] is profile.vendor_extensions


def test_killed_between_the_orders_and_begun_anew(table: Bench) -> None:
    card = VirtualCard()
    with table.inserted(card):
        process = Process(table)
        process.say(order())
        assert process.hear()["done"] == "generate"
        process.child.send_signal(signal.SIGKILL)
        process.child.communicate()
        with station(table) as again:
            again.say(order())
            again.say(certificates_for(again.hear()))
            assert again.hear()["done"] == "write"

    with opened(card) as one:
        assert one.card_number() == NUMBER
        assert all(one.certificate(slot) for slot in SLOTS)


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("count", [9, 25, 36])
def test_a_card_pulled_out_of_the_station_is_told_and_made_good(table: Bench, count: int, moment: Moment) -> None:
    card = VirtualCard()
    with table.inserted(card) as inserted, station(table) as process:
        inserted.plan(Removal(count=count, moment=moment))
        process.say(order())
        answer = process.hear()
        if "error" not in answer:
            process.say(certificates_for(answer))
            answer = process.hear()
    assert (answer["error"], process.child.returncode) == ("card_removed", 1)
    assert PIN.decode() not in json.dumps(answer)

    with table.inserted(card), station(table) as process:
        process.say(order())
        process.say(certificates_for(process.hear()))
        assert process.hear()["done"] == "write"


def test_a_finished_card_is_refused(table: Bench) -> None:
    card = VirtualCard()
    with table.inserted(card):
        with station(table) as process:
            process.say(order())
            process.say(certificates_for(process.hear()))
            assert process.hear()["done"] == "write"
        with station(table) as process:
            process.say(order())
            assert process.hear()["error"] == "card_already_personalised"
    assert process.child.returncode == 1


def test_an_empty_reader_is_told(table: Bench) -> None:
    with station(table) as process:
        process.say(order())
        assert process.hear()["error"] == "no_card"
    assert process.child.returncode == 1
