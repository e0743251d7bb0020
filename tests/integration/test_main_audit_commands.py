"""`citizenid audit …` over a country's own settings: what an auditor and a witness need, from the key to the copy."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from ca_core.audit import LogClosed
from ca_core.audit.note import COSIGNATURE_V1, VerifierKey, cosign, parse_note
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import sqlite_url
from ca_core.kernel.settings import load_settings
from idp.bench.model import Plan
from idp.cli import app
from idp.demo.bench_country import found_country
from idp.main.authority import CertificationAuthority
from idp.main.log_keys import LogFollower, open_log_key
from support.processes import free_port

WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
WITNESS_KEY = VerifierKey(
    name="witness.example/w1", kind=COSIGNATURE_V1, public_key=WITNESS.public_key().public_bytes_raw()
)

SECOND_WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
SECOND_WITNESS_KEY = VerifierKey(
    name="witness.example/w2", kind=COSIGNATURE_V1, public_key=SECOND_WITNESS.public_key().public_bytes_raw()
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


def test_after_a_restore_the_log_is_begun_anew_and_the_old_key_signs_nothing(folder: Path, tmp_path: Path) -> None:
    old_key = done(folder, "key").strip()
    refused = audit(folder, "new-log")
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "audit_log_open")
    assert backup(folder, "create", str(tmp_path / "backup")) == 0
    new = restored(folder, tmp_path / "new", tmp_path / "backup")
    done(folder, "export", str(tmp_path / "old-copy"))
    refused = audit(new, "key")
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "audit_log_closed")
    assert "citizenid audit new-log" in refused.stderr
    ca = CertificationAuthority(load_settings(new / "citizenid.toml"))
    try:
        following = LogFollower(ca)
        with pytest.raises(LogClosed):
            following.publish_due()
        key = done(new, "new-log").strip()
        done(new, "verify")  # gives the events their places
        published = following.publish_due()
        assert published is not None and published.origin == key.split("+")[0] == f"{old_key.split('+')[0]}/2"
        assert open_log_key(ca)[1].verifier_key.text == key == done(new, "key").strip()
    finally:
        ca.close()
    assert not (new / "keys" / "audit-log.pem.checkpoint").exists()
    assert (new / "keys" / "audit-log-2.pem.checkpoint").exists()
    refused = audit(new, "new-log")
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "audit_log_open")
    found = json.loads(done(new, "verify", "--key", key, "--json"))
    assert found["checkpoints"] - found["of_other_logs"] == 1 <= found["of_other_logs"]
    done(new, "export", str(tmp_path / "copy"))
    assert json.loads(offline("--log", str(tmp_path / "copy"), "--key", key, "--json").stdout)["size"] == published.size
    assert offline("--log", str(tmp_path / "copy"), "--key", old_key).exit_code == 1
    assert offline("--log", str(tmp_path / "old-copy"), "--key", old_key).exit_code == 0
    asked = done(new, "witness-request").split("\n\n", 1)[1].encode()
    done(new, "witness", "add", SECOND_WITNESS_KEY.text)
    line = cosign(parse_note(asked).text, SECOND_WITNESS_KEY, SECOND_WITNESS.sign, system_clock()).line
    (tmp_path / "note").write_bytes(asked + line.encode())
    assert done(new, "cosign", str(tmp_path / "note")).split() == [SECOND_WITNESS_KEY.name]

    third = restored(folder, tmp_path / "third", tmp_path / "backup")  # the same backup once more
    assert done(third, "new-log").split("+")[0] == f"{old_key.split('+')[0]}/3"


def test_a_log_whose_key_is_missing_gets_no_other_and_a_number_with_a_key_is_left_out(
    folder: Path, tmp_path: Path
) -> None:
    country = tmp_path / "country"  # of its own, since its second place will know the new log
    shutil.copytree(folder, country)
    (country / "citizenid.toml").write_text((folder / "citizenid.toml").read_text().replace(str(folder), str(country)))
    assert backup(country, "create", str(tmp_path / "backup")) == 0
    new = restored(country, tmp_path / "new", tmp_path / "backup", "--without-journal")
    (new / "keys" / "audit-log-2.pem").write_bytes(b"of a log that this database does not know of")
    assert done(new, "new-log").split("+")[0].endswith("/pki/log/3")
    (new / "keys" / "audit-log-3.pem").unlink()
    refused = audit(new, "key")
    assert (refused.exit_code, "audit-log-3.pem" in refused.stderr) == (1, True)
    assert not (new / "keys" / "audit-log-3.pem").exists()


def backup(folder: Path, *arguments: str) -> int:
    return CliRunner().invoke(app, ["backup", *arguments, "--config", str(folder / "citizenid.toml")]).exit_code


def restored(folder: Path, target: Path, source: Path, *options: str) -> Path:
    """A deployment like the country's, over what the backup and the country's second place give; it goes on there."""
    settings = (folder / "citizenid.toml").read_text()
    settings = settings.replace(f"{folder}/keys", f"{target}/keys").replace(
        f"{folder}/citizenid.db", f"{target}/new.db"
    )
    target.mkdir()
    (target / "citizenid.toml").write_text(settings)
    assert backup(target, "restore", str(source), *options) == 0
    return target
