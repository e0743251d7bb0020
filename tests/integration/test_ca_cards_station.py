"""The station in another process: its protocol, and every way in which that process can misbehave."""

import json
import sys
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.cards import CardSlot, ProcessCardStation, StationFault, StationTimeout
from ca_core.keys import KeyAlgorithm

NUMBER = "1000000000000005"
PIN, PUK, MANAGEMENT_KEY = "482913", "71934480", bytes(range(24))
KEYS = {CardSlot.AUTHENTICATION: KeyAlgorithm.P_256, CardSlot.SIGNATURE: KeyAlgorithm.RSA_2048}


def request() -> x509.CertificateSigningRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())


def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([]))
    builder = builder.public_key(key.public_key()).serial_number(7)
    return builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=1)).sign(key, hashes.SHA256())


def encoded(item: x509.CertificateSigningRequest | x509.Certificate) -> str:
    return b64encode(item.public_bytes(Encoding.DER)).decode("ascii")


class Program:
    """A child process that answers with prepared lines and writes down what it was given."""

    def __init__(self, folder: Path) -> None:
        self.seen = folder / "seen"
        self._script = folder / "station.py"
        self._answers = folder / "answers"

    def answering(self, *answers: object, body: str = "") -> list[str]:
        """The command of a program that says one answer for each line that it reads. body: replaces all of that."""
        lines = [answer if isinstance(answer, str) else json.dumps(answer) for answer in answers]
        self._answers.write_text(json.dumps(lines))
        self._script.write_text(
            body
            or f"""
import json, os, sys
seen = open({str(self.seen)!r}, "a")
for answer in json.load(open({str(self._answers)!r})):
    line = sys.stdin.readline()
    if not line:
        break
    seen.write(line); seen.flush()
    print(answer, flush=True)
"""
        )
        return [sys.executable, "-I", str(self._script)]

    def orders(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.seen.read_text().splitlines()]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def generate(station: ProcessCardStation) -> dict[CardSlot, x509.CertificateSigningRequest]:
    return station.generate(NUMBER, KEYS, pin=PIN, puk=PUK, management_key=MANAGEMENT_KEY)


def generated(csr: x509.CertificateSigningRequest) -> dict[str, object]:
    return {"done": "generate", "keys": [{"slot": slot.value, "csr": encoded(csr)} for slot in KEYS]}


def test_a_card_is_made_and_read_back(program: Program) -> None:
    csr, cert = request(), certificate()
    answers = (
        generated(csr),
        {"done": "write", "card_number": NUMBER, "read_back": [{"slot": "9A", "certificate": encoded(cert)}]},
    )
    with ProcessCardStation(program.answering(*answers)) as station:
        assert generate(station) == dict.fromkeys(KEYS, csr)
        assert station.write({CardSlot.AUTHENTICATION: cert}) == {CardSlot.AUTHENTICATION: cert}
    first, second = program.orders()
    assert first == {
        "do": "generate",
        "card_number": NUMBER,
        "keys": [{"slot": "9A", "algorithm": "p256"}, {"slot": "9C", "algorithm": "rsa2048"}],
        "pin": PIN,
        "puk": PUK,
        "management_key": MANAGEMENT_KEY.hex(),
    }
    assert second == {"do": "write", "certificates": [{"slot": "9A", "certificate": encoded(cert)}]}


def test_a_spoilt_card_is_overwritten_only_when_told(program: Program) -> None:
    with ProcessCardStation(program.answering(generated(request())), overwrite_spoilt_card=True) as station:
        generate(station)
    (order,) = program.orders()
    assert order["again"] is True


def test_another_card_in_the_reader_is_noticed(program: Program) -> None:
    cert = certificate()
    answer = {"done": "write", "card_number": "1" * 16, "read_back": [{"slot": "9A", "certificate": encoded(cert)}]}
    with ProcessCardStation(program.answering(generated(request()), answer)) as station:
        generate(station)
        with pytest.raises(StationFault, match="another_card"):
            station.write({CardSlot.AUTHENTICATION: cert})


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"error": "no_card", "detail": f"PIN {PIN}"}, "no_card"),
        ({"error": f"PIN {PIN}", "detail": ""}, "unnamed_error"),
        ({"error": {"a": 1}}, "unnamed_error"),
        ({"done": "write", "read_back": []}, "out_of_step"),
        ({}, "out_of_step"),
        ("[1]", "not_an_object"),
        ("nonsense", "not_json"),
        ("[" * 60_000, "not_json"),
        ({"done": "generate"}, "no_list"),
        ({"done": "generate", "keys": [7]}, "entry"),
        ({"done": "generate", "keys": [{"slot": "9A"}]}, "entry"),
        ({"done": "generate", "keys": [{"slot": "9E", "csr": ""}]}, "entry"),
        ({"done": "generate", "keys": [{"slot": "9A", "csr": "****"}]}, "entry"),
        ({"done": "generate", "keys": [{"slot": "9A", "csr": "AAAA"}]}, "entry"),
        ({"done": "generate", "keys": [{"slot": None, "csr": "AAAA"}]}, "entry"),
    ],
)
def test_a_station_that_says_something_else(program: Program, answer: object, detail: str) -> None:
    with ProcessCardStation(program.answering(answer)) as station, pytest.raises(StationFault) as fault:
        generate(station)
    assert fault.value.detail == detail
    assert PIN not in str(fault.value)
    assert fault.value.__cause__ is None


def test_a_slot_that_is_answered_twice(program: Program) -> None:
    entry = {"slot": "9A", "csr": encoded(request())}
    command = program.answering({"done": "generate", "keys": [entry, entry]})
    with ProcessCardStation(command) as station, pytest.raises(StationFault, match="slot_twice"):
        generate(station)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "import sys; sys.exit(1)",
        "print('{\"done\":', end='')",
        "print('x' * 70_000, end='', flush=True); import time; time.sleep(60)",
        "print('x' * 70_000, flush=True); import time; time.sleep(60)",
        "import sys; sys.stdin.close(); sys.stdout.close()",
    ],
)
def test_a_station_that_ends_or_babbles(program: Program, body: str) -> None:
    begin = time.monotonic()
    with (
        ProcessCardStation(program.answering(body=body or "pass"), timeout_s=30) as station,
        pytest.raises(StationFault, match="ended"),
    ):
        generate(station)
    assert time.monotonic() - begin < 20


def test_a_station_that_does_not_answer_is_stopped(program: Program) -> None:
    command = program.answering(body="import time; time.sleep(600)")
    begin = time.monotonic()
    with ProcessCardStation(command, timeout_s=0.3) as station:
        with pytest.raises(StationTimeout):
            generate(station)
        with pytest.raises(StationFault):
            generate(station)
    assert time.monotonic() - begin < 5


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(StationFault, match="not_started"):
        ProcessCardStation(["/no/such/program"]).__enter__()


def test_a_station_that_was_not_entered_or_was_left(program: Program) -> None:
    station = ProcessCardStation(program.answering(generated(request())))
    with pytest.raises(StationFault, match="not_running"):
        generate(station)
    with station:
        pass
    with pytest.raises(StationFault, match="not_running"):
        generate(station)


def test_codes_are_on_no_command_line_and_in_no_environment(program: Program) -> None:
    body = f"""
import json, os, sys
sys.stdin.readline()
command = open("/proc/self/cmdline").read()
shown = json.dumps([command, dict(os.environ)])
open({str(program.seen)!r}, "w").write(shown)
print(json.dumps({{"error": "no_card"}}), flush=True)
"""
    with ProcessCardStation(program.answering(body=body)) as station, pytest.raises(StationFault):
        generate(station)
    shown = program.seen.read_text()
    assert PIN not in shown
    assert PUK not in shown
    assert MANAGEMENT_KEY.hex() not in shown
