"""A private reader service, a personalised virtual card and a bridge's data folder: programs as installed."""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from card_bridge.virtual import tell
from support.bridge_fakes import StatementKey, nonce_of, payload
from support.processes import run, started

BRIDGE = Path(sys.executable).parent / "card-bridge"
PIN = "246810"
CARD_NUMBER = "1234567890123456"
ORIGIN = "http://localhost:8000"
ENGLISH = {"LC_ALL": "en_US.UTF-8"}


@dataclass(kw_only=True)
class CardDesk:
    folder: Path
    data: Path
    card: Path
    key: StatementKey

    def command(self, *arguments: object) -> list[object]:
        return [BRIDGE, *arguments]

    def statement(self, **changes: object) -> tuple[str, str]:
        """(challenge nonce, compact statement) of this minute."""
        compact = self.key.sign(payload(datetime.now(UTC), **({"iss": ORIGIN, "origin": ORIGIN} | changes)))
        return nonce_of(compact), compact

    def askpass(self, pin: str) -> Path:
        program = self.folder / f"askpass-{pin}"
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{pin}'\n")
        program.chmod(0o700)
        return program

    def authenticate(self, *arguments: object, nonce: str, origin: str = ORIGIN) -> "subprocess.CompletedProcess[str]":
        command = self.command("authenticate", "--origin", origin, "--nonce", nonce, "--data", self.data, *arguments)
        return run(command, env=ENGLISH, check=False)

    def statement_file(self, text: str) -> Path:
        path = self.folder / "statement"
        path.write_text(text)
        return path

    def insert(self) -> None:
        """Put the card in; returns when the reader has it."""
        assert tell(self.card, "insert") == "ok"
        self._wait(present=True)

    def remove(self) -> None:
        """Pull the card out; returns when the reader knows."""
        assert tell(self.card, "remove") == "ok"
        self._wait(present=False)

    def remove_at(self, *where: str) -> None:
        """Plan to pull the card out in the middle of its work."""
        assert tell(self.card, " ".join(["remove-at", *where])) == "ok"

    def _wait(self, *, present: bool) -> None:
        for _ in range(20):
            checked = run(self.command("doctor", "--data", self.data, "--json"), check=False)
            if {check["name"]: check["ok"] for check in json.loads(checked.stdout)["checks"]}["card"] is present:
                return
        raise AssertionError(f"{tell(self.card, 'state')}: {checked.stdout}")


def ready_line(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """What a program says when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(b"{"), f"not ready: {line!r}"
    document: dict[str, Any] = json.loads(line)
    return document


@contextmanager
def card_desk(folder: Path) -> Iterator[CardDesk]:
    """Everything up and the card in the reader."""
    key = StatementKey()
    desk = CardDesk(folder=folder, data=folder / "bridge", card=folder / "card", key=key)
    desk.data.mkdir()
    name = {"zh-TW": "測試登入服務", "en": "Test login service"}
    provider = {"origin": ORIGIN, "issuer": ORIGIN, "name": name, "jwks": {"keys": [key.jwk()]}}
    (desk.data / "providers.json").write_text(json.dumps({"providers": [provider]}), encoding="utf-8")
    with ExitStack() as programs:

        def program(*arguments: object) -> dict[str, Any]:
            command = desk.command(*arguments, "--json")
            log = folder / f"{arguments[0]}.log"
            return ready_line(programs.enter_context(started(command, log=log, stdout=subprocess.PIPE)))

        reader = program("virtual-reader", "--data", folder / "reader")
        settings = f'port = 0\npcsc_socket = "{reader["pcsc_socket"]}"\nreader = "{reader["readers"][0]}"\n'
        (desk.data / "bridge.toml").write_text(settings + "minimum_interval_s = 0\n")
        program("virtual-card", "--data", desk.card, "--port", reader["ports"][0])
        personalise(desk)
        yield desk


def personalise(desk: CardDesk) -> None:
    """Keys made on the card by `card-bridge personalise`, certificates by an authority of this function alone."""
    authority = ec.generate_private_key(ec.SECP256R1())
    keys = [{"slot": "9A", "algorithm": "p256"}, {"slot": "9C", "algorithm": "p256"}]
    order = {"do": "generate", "card_number": CARD_NUMBER, "keys": keys, "pin": PIN, "puk": "13579135"}
    with subprocess.Popen(
        [str(part) for part in desk.command("personalise", "--data", desk.data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as station:
        assert station.stdin is not None
        assert station.stdout is not None

        def ask(document: dict[str, Any]) -> dict[str, Any]:
            station.stdin.write(json.dumps(document).encode() + b"\n")  # type: ignore[union-attr] # asserted above
            station.stdin.flush()  # type: ignore[union-attr] # as above
            answer: dict[str, Any] = json.loads(station.stdout.readline())  # type: ignore[union-attr] # as above
            assert "error" not in answer, answer
            return answer

        made = ask({**order, "management_key": bytes(range(24)).hex()})
        certificates = [
            {"slot": entry["slot"], "certificate": b64encode(certify(b64decode(entry["csr"]), authority)).decode()}
            for entry in made["keys"]
        ]
        written = ask({"do": "write", "certificates": certificates})
        assert written["card_number"] == CARD_NUMBER
        station.stdin.close()
        assert station.wait(30) == 0


def certify(csr: bytes, authority: ec.EllipticCurvePrivateKey) -> bytes:
    request = x509.load_der_x509_csr(csr)
    assert request.is_signature_valid
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "測試憑證管理中心")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "測試人")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(request.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
    return builder.not_valid_after(now + timedelta(days=1)).sign(authority, hashes.SHA256()).public_bytes(Encoding.DER)
