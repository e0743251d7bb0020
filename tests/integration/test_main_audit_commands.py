"""`citizenid audit …` over a country's own settings: what an auditor and a witness need, from the key to the copy."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from ca_core.audit.note import COSIGNATURE_V1, VerifierKey, cosign, parse_note
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import sqlite_url
from idp.bench.model import Plan
from idp.cli import app
from idp.demo.bench_country import found_country
from support.processes import free_port

WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
WITNESS_KEY = VerifierKey(
    name="witness.example/w1", kind=COSIGNATURE_V1, public_key=WITNESS.public_key().public_bytes_raw()
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit-commands")
    url = sqlite_url(folder / "citizenid.db")
    found_country(Plan(folder=folder, database_url=url, port=free_port(), citizens=1, workers=1))
    return folder


def audit(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--config", str(folder / "citizenid.toml")])


def done(folder: Path, *arguments: str) -> str:
    result = audit(folder, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def offline(*arguments: str) -> Result:
    """Without any settings: what an auditor has is the copy and the key."""
    return CliRunner().invoke(app, ["audit", "verify", *arguments])


def test_a_copy_is_verified_elsewhere_with_what_the_auditor_was_shown(folder: Path, tmp_path: Path) -> None:
    key = done(folder, "key").strip()
    assert done(folder, "key").strip() == key
    in_database = json.loads(done(folder, "verify", "--key", key, "--json"))
    assert in_database["waiting"] == 0 and in_database["checkpoints"] >= 1
    copied = int(done(folder, "export", str(tmp_path / "copy")).split()[0])
    done(folder, "open", str(tmp_path / "events"))
    assert stat.S_IMODE((tmp_path / "events").stat().st_mode) == 0o600
    options = ["--log", str(tmp_path / "copy"), "--key", key, "--json"]
    assert json.loads(offline(*options).stdout)["size"] == copied
    shown = (tmp_path / "events").read_text().splitlines()[:copied]
    (tmp_path / "shown").write_text("".join(f"{line}\n" for line in shown))
    assert json.loads(offline(*options, "--openings", str(tmp_path / "shown")).stdout)["openings"] == copied
    names = {json.loads(line)["name"] for line in shown}
    assert {"ceremony.completed", "issuance.intended", "certificate.issued", "crl.published"} <= names
    (tmp_path / "shown").write_text(shown[0].replace("ceremony.begun", "ceremony.ended") + "\n")
    refused = offline(*options, "--openings", str(tmp_path / "shown"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert offline("--log", str(tmp_path / "copy"), "--key", WITNESS_KEY.text).exit_code == 1


def test_an_event_is_proven(folder: Path) -> None:
    proven = json.loads(done(folder, "prove", "0"))
    assert proven["opening"]["name"] == "ceremony.begun"
    assert len(proven["entry"]) == 64 and proven["proof"]
    assert proven["checkpoint"].startswith("127.0.0.1:")
    beyond = audit(folder, "prove", "1000000")
    assert (beyond.exit_code, beyond.stderr.split(":")[0].strip()) == (1, "audit_proof_refused")


def test_a_witness_is_registered_asked_believed_and_retired(folder: Path, tmp_path: Path) -> None:
    assert done(folder, "witness", "add", WITNESS_KEY.text).strip() == WITNESS_KEY.name
    again = audit(folder, "witness", "add", WITNESS_KEY.text)
    assert (again.exit_code, again.stderr.split(":")[0].strip()) == (1, "audit_witness_refused")
    asked = done(folder, "witness-request")
    assert asked.startswith("old 0\n")
    checkpoint = asked.split("\n\n", 1)[1].encode()
    line = cosign(parse_note(checkpoint).text, WITNESS_KEY, WITNESS.sign, system_clock()).line
    size = checkpoint.splitlines()[1].decode()
    (tmp_path / "answer").write_text(line)
    assert done(folder, "cosign", str(tmp_path / "answer"), "--size", size).split() == [WITNESS_KEY.name]
    (tmp_path / "note").write_bytes(checkpoint + line.encode())
    assert done(folder, "cosign", str(tmp_path / "note")).split() == [WITNESS_KEY.name]
    done(folder, "export", str(tmp_path / "copy"))
    key = done(folder, "key").strip()
    options = ["--log", str(tmp_path / "copy"), "--key", key, "--witness", WITNESS_KEY.text, "--quorum", "1", "--json"]
    assert list(json.loads(offline(*options).stdout)["witnesses"]) == [WITNESS_KEY.name]
    stranger = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
    (tmp_path / "note").write_bytes(
        checkpoint + cosign(parse_note(checkpoint).text, WITNESS_KEY, stranger.sign, system_clock()).line.encode()
    )
    assert audit(folder, "cosign", str(tmp_path / "note")).exit_code == 1
    (listed,) = json.loads(done(folder, "witness", "list", "--json"))
    assert (listed["name"], listed["retired_at"]) == (WITNESS_KEY.name, "")
    done(folder, "witness", "retire", WITNESS_KEY.name)
    (listed,) = json.loads(done(folder, "witness", "list", "--json"))
    assert listed["retired_at"]
    (tmp_path / "note").write_bytes(checkpoint + line.encode())
    assert audit(folder, "cosign", str(tmp_path / "note")).exit_code == 1


def test_files_that_are_not_there_are_told(folder: Path, tmp_path: Path) -> None:
    for command in (["cosign"], ["verify", "--log", str(folder), "--key", WITNESS_KEY.text, "--earlier"]):
        refused = audit(folder, *command, str(tmp_path / "none"))
        assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "file_unreadable")
    assert audit(folder, "verify", "--quorum", "1").exit_code == 2
