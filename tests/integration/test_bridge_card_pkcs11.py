"""The PKCS#11 adapter: a soft token that our station made, and the same card through OpenSC's module."""

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from bridge_card_kit import NUMBER, PIN, PUK, bench, certify, finished_card, told, use_environment
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from card_bridge.personalisation import run_personalise
from card_bridge.piv.errors import CardError
from card_bridge.piv.model import ReaderState, SignatureAlgorithm, Slot
from card_bridge.piv.pkcs11 import Pkcs11Readers

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
OPENSC = Path("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")
LABEL = "Citizen card"
DIGEST = bytes(range(32))


@contextmanager
def soft_token_process(folder: Path) -> Iterator[ProcessPoolExecutor]:
    """A process whose SoftHSM keeps its tokens in this folder."""
    (folder / "tokens").mkdir(exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    variables = {"SOFTHSM2_CONF": str(configuration)}
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=use_environment, initargs=(variables,)) as worker:
        yield worker


# In the child


def conversation(algorithm: str, *, number: str = NUMBER, again: bool = False) -> tuple[int, list[dict[str, Any]]]:
    """The whole protocol, with this test as the CA."""
    order = {
        "do": "generate",
        "card_number": number,
        "keys": [{"slot": slot, "algorithm": algorithm} for slot in ("9A", "9C", "9D")],
        "pin": PIN.decode(),
        "puk": PUK.decode(),
        "management_key": "00" * 24,
        "again": again,
    }
    out = io.BytesIO()

    class Stdin(io.BytesIO):
        def __init__(self) -> None:
            super().__init__()
            self.turn = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.turn += 1
            if self.turn == 1:
                return json.dumps(order).encode() + b"\n"
            if self.turn == 2:
                answer = json.loads(out.getvalue())
                made = certify({Slot(key["slot"]): b64decode(key["csr"]) for key in answer["keys"]})
                entries = [{"slot": slot, "certificate": b64encode(der).decode()} for slot, der in made.items()]
                return json.dumps({"do": "write", "certificates": entries}).encode() + b"\n"
            return b""

    status = run_personalise(stdin=Stdin(), stdout=out, pkcs11_module=SOFTHSM, reader=LABEL)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


Signed = tuple[bytes, bytes | None] | tuple[str, int | None]


def slots(module: Path) -> list[ReaderState]:
    return list(Pkcs11Readers(module).list())


def read(module: Path, reader: str) -> tuple[str | None, bytes | None]:
    with Pkcs11Readers(module).connect(reader) as card:
        return card.card_number(), card.certificate(Slot.AUTHENTICATION)


def sign(module: Path, reader: str, slot: Slot, algorithm: SignatureAlgorithm, pins: list[bytes]) -> Signed:
    """One signature, after the PINs; or the error that came first."""
    try:
        with Pkcs11Readers(module).connect(reader) as card:
            for pin in pins:
                secret = bytearray(pin)
                try:
                    card.verify_pin(secret)
                finally:
                    assert not any(secret)
            return card.sign(slot, DIGEST, algorithm), card.certificate(slot)
    except CardError as error:
        return told(error)


def verify(result: Signed, expected: bytes | None = None) -> None:
    signature, certificate = result
    assert isinstance(signature, bytes) and isinstance(certificate, bytes)
    assert expected in (None, certificate)
    public_key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        public_key.verify(der, DIGEST, ec.ECDSA(Prehashed(SHA256())))
        return
    assert isinstance(public_key, rsa.RSAPublicKey)
    public_key.verify(signature, DIGEST, padding.PKCS1v15(), Prehashed(SHA256()))


@pytest.mark.parametrize(
    ("algorithm", "scheme"), [("p256", SignatureAlgorithm.ES256), ("rsa2048", SignatureAlgorithm.RS256)]
)
def test_a_soft_token_stands_in_for_a_card(tmp_path: Path, algorithm: str, scheme: SignatureAlgorithm) -> None:
    with soft_token_process(tmp_path) as worker:
        status, (generated, written) = worker.submit(conversation, algorithm).result()
        assert (status, generated["done"], written["done"]) == (0, "generate", "write")
        assert (written["card_number"], written["management_key_replaced"]) == (NUMBER, False)
    with soft_token_process(tmp_path) as worker:
        states = worker.submit(slots, SOFTHSM).result()
        assert [state.card_present for state in states] == [True, False]
        for name in (LABEL, states[0].name):
            number, certificate = worker.submit(read, SOFTHSM, name).result()
            assert number == NUMBER
            assert certificate is not None
        for slot in (Slot.AUTHENTICATION, Slot.SIGNATURE):
            verify(worker.submit(sign, SOFTHSM, LABEL, slot, scheme, [PIN]).result())


def test_what_a_soft_token_refuses(tmp_path: Path) -> None:
    with soft_token_process(tmp_path) as worker:
        worker.submit(conversation, "p256").result()

        def result(slot: Slot, *pins: bytes) -> Signed:
            return worker.submit(sign, SOFTHSM, LABEL, slot, SignatureAlgorithm.ES256, list(pins)).result()

        assert result(Slot.AUTHENTICATION) == ("pin_required", None)
        assert result(Slot.AUTHENTICATION, b"999999") == ("pin_incorrect", None)
        assert result(Slot.AUTHENTICATION, b"12") == ("pin_incorrect", None)
        assert result(Slot.CARD_AUTHENTICATION, PIN) == ("card_not_personalised", None)
        verify(result(Slot.AUTHENTICATION, PIN, PIN))
        status, answers = worker.submit(conversation, "p256", number="1111222233334444").result()
        assert (status, answers[-1]["error"]) == (1, "card_already_personalised")
        status, answers = worker.submit(conversation, "p256", again=True).result()
        assert (status, answers[-1].get("done")) == (0, "write"), answers


def test_slots_and_modules_that_are_not_there(tmp_path: Path) -> None:
    with soft_token_process(tmp_path) as worker:
        empty = worker.submit(slots, SOFTHSM).result()
        assert [state.card_present for state in empty] == [False]
        schemes = SignatureAlgorithm.ES256
        for module, name, code in (
            (SOFTHSM, empty[0].name, "no_card"),
            (SOFTHSM, "Nobody's", "no_reader"),
            (tmp_path / "absent.so", "any", "no_reader"),
        ):
            assert worker.submit(sign, module, name, Slot.AUTHENTICATION, schemes, []).result() == (code, None)


def test_our_card_through_openscs_module() -> None:
    card, certificates = finished_card()
    with bench() as table, table.inserted(card):
        reader = table.reader.names[0]
        assert table.worker.submit(read, OPENSC, reader).result() == (NUMBER, certificates[Slot.AUTHENTICATION])
        for slot in (Slot.AUTHENTICATION, Slot.SIGNATURE):
            scheme = SignatureAlgorithm.ES256
            verify(table.worker.submit(sign, OPENSC, reader, slot, scheme, [PIN]).result(), certificates[slot])
        wrong = table.worker.submit(sign, OPENSC, reader, Slot.AUTHENTICATION, scheme, [b"999999"]).result()
        assert wrong == ("pin_incorrect", None)
