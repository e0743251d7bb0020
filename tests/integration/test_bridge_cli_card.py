"""The installed program with the real reader service and a virtual card: authenticate, doctor, and what they refuse."""

import hashlib
import json
import os
import pty
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from support.card_desk import BRIDGE, CARD_NUMBER, ENGLISH, ORIGIN, PIN, CardDesk, card_desk
from support.processes import run

NONCE = b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CardDesk]:
    with card_desk(tmp_path_factory.mktemp("desk")) as running:
        yield running


def verify(printed: str, origin: str, nonce: str) -> None:
    token = json.loads(printed)
    assert (token["algorithm"], token["format"]) == ("ES256", "web-eid:1.0")
    key = x509.load_der_x509_certificate(b64decode(token["unverifiedCertificate"])).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = b64decode(token["signature"])
    assert len(signature) == 64
    octets = hashlib.sha256(origin.encode()).digest() + hashlib.sha256(nonce.encode()).digest()
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(hashes.SHA256()))


def test_a_token_for_a_pinned_provider(desk: CardDesk) -> None:
    nonce, compact = desk.statement()
    for text in (compact, compact + "\n"):  # as a program writes it, and as an editor does
        arguments = ("--statement", desk.statement_file(text), "--askpass", desk.askpass(PIN), "--card", CARD_NUMBER)
        done = desk.authenticate(*arguments, nonce=nonce)
        assert done.returncode == 0, done.stderr
        verify(done.stdout, ORIGIN, nonce)
        assert PIN not in done.stdout + done.stderr


def test_a_token_for_an_origin_that_no_provider_has(desk: CardDesk) -> None:
    done = desk.authenticate("--askpass", desk.askpass(PIN), nonce=NONCE, origin="https://eid.example.ee")
    assert done.returncode == 0, done.stderr
    verify(done.stdout, "https://eid.example.ee", NONCE)


def refused(desk: CardDesk, code: str, *arguments: object, nonce: str = NONCE, origin: str = ORIGIN) -> str:
    done = desk.authenticate(*arguments, nonce=nonce, origin=origin)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(f"{code}: "), done.stderr
    return done.stderr


def test_a_pinned_providers_origin_needs_its_statement(desk: CardDesk) -> None:
    askpass = ("--askpass", desk.askpass(PIN))
    refused(desk, "statement_unavailable", *askpass)
    for text in ("", "\n"):
        refused(desk, "statement_unavailable", "--statement", desk.statement_file(text), *askpass)


def test_statements_that_are_not_the_providers(desk: CardDesk) -> None:
    askpass = ("--askpass", desk.askpass(PIN))
    nonce, compact = desk.statement()
    file = desk.statement_file(compact)
    refused(desk, "statement_mismatch", "--statement", file, *askpass)
    refused(desk, "provider_unknown", "--statement", file, *askpass, nonce=nonce, origin="https://other.example.tw")
    altered = compact[:100] + ("A" if compact[100] != "A" else "B") + compact[101:]
    refused(desk, "statement_mismatch", "--statement", desk.statement_file(altered), *askpass, nonce=nonce)
    fitting = b64encode(hashlib.sha256(altered.encode()).digest()).decode()
    text = refused(desk, "statement_invalid", "--statement", desk.statement_file(altered), *askpass, nonce=fitting)
    assert "Nothing was signed" in text
    nonce, compact = desk.statement(iat=1_700_000_000, exp=1_700_000_060)
    refused(desk, "statement_expired", "--statement", desk.statement_file(compact), *askpass, nonce=nonce)
    nonce, compact = desk.statement(origin="http://localhost:8001")
    refused(desk, "origin_mismatch", "--statement", desk.statement_file(compact), *askpass, nonce=nonce)
    large = desk.statement_file("A" * 10_000)
    refused(desk, "statement_invalid", "--statement", large, *askpass)


@pytest.mark.parametrize("origin", ["http://localhost:8000/", "HTTP://localhost:8000", "http://example.tw", "null", ""])
def test_origins_that_are_none(origin: str, desk: CardDesk) -> None:
    refused(desk, "origin_malformed", "--askpass", desk.askpass(PIN), origin=origin)


def test_a_wrong_pin_tells_the_tries_and_is_not_repeated(desk: CardDesk) -> None:
    origin = "https://eid.example.ee"
    text = refused(desk, "pin_incorrect", "--askpass", desk.askpass("000000"), origin=origin)
    assert re.search(r"Tries left: \d", text)
    refused(desk, "pin_incorrect", "--askpass", desk.askpass("12"), origin=origin)  # malformed: no try spent
    done = desk.authenticate("--askpass", desk.askpass(PIN), nonce=NONCE, origin=origin)
    assert done.returncode == 0, done.stderr


def test_the_text_is_in_the_language_asked_for(desk: CardDesk) -> None:
    done = desk.authenticate("--askpass", desk.askpass(PIN), "--lang", "zh-TW", nonce="x")
    assert done.stderr == "nonce_malformed: 挑戰值格式不正確。\n"


def test_an_askpass_that_gives_none(desk: CardDesk) -> None:
    origin = "https://eid.example.ee"
    for program in ("/bin/false", "/bin/true", "/nonexistent"):
        refused(desk, "askpass_failed", "--askpass", program, origin=origin)


def test_what_the_askpass_program_is_told(desk: CardDesk) -> None:
    program = desk.folder / "askpass-noting"
    note = desk.folder / "question"
    program.write_text(f"#!/bin/sh\nprintf '%s' \"$1\" > '{note}'\nprintf '%s\\n' '{PIN}'\n")
    program.chmod(0o700)
    nonce, compact = desk.statement()
    done = desk.authenticate("--statement", desk.statement_file(compact), "--askpass", program, nonce=nonce)
    assert done.returncode == 0, done.stderr
    question = note.read_text()
    assert "Income tax filing" in question
    assert "To file your income tax" in question
    assert re.search(r"code \d{4}", question)


def test_the_card_asked_for_is_not_the_one_in_the_reader(desk: CardDesk) -> None:
    origin = "https://eid.example.ee"
    refused(desk, "wrong_card", "--askpass", desk.askpass(PIN), "--card", "9" * 16, origin=origin)


def test_no_card_and_then_one(desk: CardDesk) -> None:
    origin = "https://eid.example.ee"
    desk.remove()
    try:
        refused(desk, "no_card", "--askpass", desk.askpass(PIN), origin=origin)
        checked = run(desk.command("doctor", "--data", desk.data, "--json"), check=False)
        assert checked.returncode == 1
        assert {check["name"] for check in json.loads(checked.stdout)["checks"] if not check["ok"]} == {"card"}
    finally:
        desk.insert()
    done = desk.authenticate("--askpass", desk.askpass(PIN), nonce=NONCE, origin=origin)
    assert done.returncode == 0, done.stderr


def test_a_card_removed_while_it_signs(desk: CardDesk) -> None:
    desk.remove_at("87", "1", "before")
    try:
        refused(desk, "card_removed", "--askpass", desk.askpass(PIN), origin="https://eid.example.ee")
    finally:
        desk.insert()


def test_no_reader_service(desk: CardDesk, tmp_path: Path) -> None:
    (tmp_path / "providers.json").write_text('{"providers":[]}')
    (tmp_path / "bridge.toml").write_text(f'pcsc_socket = "{tmp_path}/none"\nport = 0\n')
    command = desk.command("authenticate", "--origin", "https://eid.example.ee", "--nonce", NONCE, "--data", tmp_path)
    done = run([*command, "--askpass", desk.askpass(PIN)], env=ENGLISH, check=False)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "no_reader")


def test_doctor_finds_everything_in_place(desk: CardDesk) -> None:
    done = run(desk.command("doctor", "--data", desk.data, "--json"), check=False)
    document = json.loads(done.stdout)
    assert document["ok"], document
    names = [check["name"] for check in document["checks"]]
    assert names == ["data", "providers", "port", "driver", "pcscd", "reader", "card"]
    assert CARD_NUMBER in document["checks"][-1]["detail"]
    assert done.returncode == 0


def test_doctor_names_what_is_missing_in_both_languages(tmp_path: Path) -> None:
    for lang, advice in (("en", "Correct bridge.toml"), ("zh-TW", "請修正 bridge.toml")):
        done = run([BRIDGE, "doctor", "--data", tmp_path / "none", "--lang", lang], check=False)
        assert done.returncode == 1
        assert advice in done.stdout


def test_configuration_faults_come_all_at_once(desk: CardDesk, tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text("prot = 1\nport = -1\n")
    for arguments in (["serve"], ["authenticate", "--origin", ORIGIN, "--nonce", NONCE]):
        done = run([BRIDGE, *arguments, "--data", tmp_path], env=ENGLISH, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("configuration_error: ")
        for part in ("prot", "port", "providers.json"):
            assert part in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["authenticate"],
        ["authenticate", "--origin", ORIGIN],
        ["authenticate", "--origin", ORIGIN, "--nonce", NONCE, "--statement", "/nonexistent"],
        ["authenticate", "--origin", ORIGIN, "--nonce", NONCE, "--pin", "123456"],
        ["serve", "--port", "65536"],
        ["nothing"],
    ],
)
def test_usage(arguments: list[str]) -> None:
    assert run([BRIDGE, *arguments], check=False).returncode == 2


def test_without_a_terminal_nobody_can_be_asked(desk: CardDesk) -> None:
    refused(desk, "no_terminal", origin="https://eid.example.ee")


def test_the_terminal_asks_without_echo_and_again_after_a_wrong_pin(desk: CardDesk) -> None:
    nonce, compact = desk.statement()
    file = desk.statement_file(compact)
    arguments = ["authenticate", "--origin", ORIGIN, "--nonce", nonce, "--data", str(desk.data)]
    process, terminal = pty.fork()
    if process == 0:  # the child: nothing of the test runs in it
        os.environ.update(ENGLISH)
        os.execv(BRIDGE, [str(BRIDGE), *arguments, "--statement", str(file)])  # noqa: S606 - our own program
    said = b""

    def until(part: bytes) -> None:
        nonlocal said
        while part not in said:
            said += os.read(terminal, 4096)

    until(b"PIN of your IC card: ")
    assert b"Income tax filing" in said
    os.write(terminal, b"000000\n")
    until(b"The PIN was not correct")
    said = said.partition(b"not correct")[2]
    until(b"PIN of your IC card: ")
    os.write(terminal, f"{PIN}\n".encode())
    until(b'"appVersion"')
    until(b"}")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert PIN.encode() not in said
    verify(said[said.index(b"{") :].decode().strip(), ORIGIN, nonce)
