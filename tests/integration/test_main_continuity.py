"""`citizenid migrate` and `citizenid backup`, as an operator types them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from ca_core.backup.copies import take_copy
from ca_core.backup.errors import DatabaseBehind
from ca_core.kernel.database import sqlite_url
from ca_core.kernel.settings import Role, load_settings
from idp.cli import app
from idp.commands import backup, ca, migrate
from idp.main.app import build_app
from support.fakes import START
from support.old_house import OldHouse, national_id, write_folder, write_holders
from support.pki import new_key
from support.tables import create_tables

Run = Callable[..., str]


def write_config(folder: Path, name: str, database: Path, *, second_place: str) -> Path:
    """A deployment whose secrets are in that folder."""
    for secret, size in (("passphrase", 32), ("national", 32), ("lookup", 32), ("other", 32)):
        path = folder / secret
        path.write_bytes(secret.encode("ascii").ljust(size, b"x"))
        path.chmod(0o600)
    config = folder / name
    config.write_text(
        f"""
issuer = "https://id.example.tw"
csrf_secret_file = "{folder}/other"
pairwise_secret_file = "{folder}/other"
card_master_key_file = "{folder}/other"
login_authorities = ["old-g1"]
trusted_root_files = ["{folder}/root.pem"]
database_url = "{sqlite_url(database)}"
{second_place}
[keys]
kind = "software"
folder = "{folder}/{name}.keys"
passphrase_file = "{folder}/passphrase"
[national_id]
keys = {{ k1 = "{folder}/national" }}
current = "k1"
lookup_key_file = "{folder}/lookup"
""",
        encoding="utf-8",
    )
    return config


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against the deployment `live`, or the one that `config` names; returns what it printed."""
    monkeypatch.setattr("idp.main.continuity.verify_current", lambda _database: None)
    create_tables(sqlite_url(tmp_path / "live.db"))
    place = f'second_place = "{tmp_path}/second"'
    write_config(tmp_path, "live.toml", tmp_path / "live.db", second_place=place)
    write_config(tmp_path, "new.toml", tmp_path / "new" / "new.db", second_place=place)

    def call(app: typer.Typer, *arguments: object, config: str = "live.toml", status: int = 0) -> str:
        words = [str(argument) for argument in arguments]
        done = CliRunner().invoke(app, [*words, "--config", str(tmp_path / config)])
        assert done.exit_code == status, done.output + repr(done.exception)
        return done.stdout if status == 0 else done.output

    return call


def test_an_operator_moves_a_house_in_backs_it_up_and_brings_it_back(run: Run, tmp_path: Path) -> None:
    house = OldHouse()
    run(backup.app, "found")
    for slug in ("root", "g1"):
        (tmp_path / f"{slug}.cer").write_bytes(house.authorities[slug].public_bytes(Encoding.DER))
        run(migrate.app, "authority", tmp_path / f"{slug}.cer", "--slug", f"old-{slug}")
    holders = run(migrate.app, "holders", write_holders(tmp_path / "h.csv", range(1, 6), extra=("bad",)), "--json")
    assert json.loads(holders)[0] | {"digest": ""} == {
        "kind": "holders",
        "file": "h.csv",
        "digest": "",
        "accepted": 5,
        "known": 0,
        "refused": 1,
        "reasons": {"columns": 1},
        "complete": True,
    }
    run(backup.app, "create", tmp_path / "backup")
    folder = write_folder(tmp_path / "certificates", [house.certificate(number) for number in range(1, 7)])
    taken = json.loads(run(migrate.app, "certificates", folder, "--authority", "old-g1", "--json"))
    assert (taken[0]["accepted"], taken[0]["reasons"]) == (5, {"holder_unknown": 1})
    (tmp_path / "g1.crl").write_bytes(house.crl({2: (START, x509.ReasonFlags.superseded)}).public_bytes(Encoding.DER))
    assert "1" in run(migrate.app, "crl", tmp_path / "g1.crl", "--authority", "old-g1")
    refusals = [json.loads(line) for line in run(migrate.app, "report", "--refusals").splitlines()]
    assert [(refusal["place"][:7], refusal["reason"]) for refusal in refusals] == [
        ("line 7", "columns"),
        ("file 6:", "holder_unknown"),
    ]
    assert national_id(1) not in json.dumps(refusals)
    figures = json.loads(run(backup.app, "drill", "--json"))
    assert (figures["changes"], figures["certificates"], figures["differences"]) == (1, 7, [])
    assert not (tmp_path / "live.db.drill").exists()
    report = json.loads(run(backup.app, "restore", tmp_path / "backup", "--json", config="new.toml"))
    assert (report["certificates"], report["changes"], report["without_journal"]) == (5, 1, False)
    assert "backup_target_not_empty" in run(backup.app, "restore", tmp_path / "backup", config="new.toml", status=1)
    assert "backup_exists" in run(backup.app, "create", tmp_path / "backup", status=1)


def test_a_database_file_that_was_put_back_is_refused_by_every_role_and_command(run: Run, tmp_path: Path) -> None:
    """Also by the role `worker`, whose settings name no second place, once a role that has one was refused."""
    house, live = OldHouse(), tmp_path / "live.db"
    run(backup.app, "found")
    for slug in ("root", "g1"):
        (tmp_path / f"{slug}.cer").write_bytes(house.authorities[slug].public_bytes(Encoding.DER))
        run(migrate.app, "authority", tmp_path / f"{slug}.cer", "--slug", f"old-{slug}")
    folder = write_folder(tmp_path / "certificates", [house.certificate(number) for number in (1, 2)])
    run(migrate.app, "certificates", folder, "--authority", "old-g1", "--without-holders")
    take_copy(sqlite_url(live), tmp_path / "kept.db")
    for number in (1, 2):
        run(ca.app, "revoke", "--authority", "old-g1", "--serial", f"{number:x}")
    for path in (live, Path(f"{live}-wal"), Path(f"{live}-shm")):
        path.unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "kept.db", live)

    def served(role: Role) -> None:
        build_app(load_settings(tmp_path / "live.toml", role=role))

    with pytest.raises(DatabaseBehind, match=r"2 changes of status.*every role.*citizenid backup catch-up"):
        served(Role.ALL)
    text = (tmp_path / "live.toml").read_text()
    files = ", ".join(f'{name} = "{tmp_path}/other"' for name in ("certificate_file", "key_file", "trusted_root_file"))
    connection = f'ca_connection = {{ url = "https://localhost:1", {files} }} #'
    (tmp_path / "live.toml").write_text(text.replace("second_place = ", connection))
    for role in (Role.WORKER, Role.VA, Role.IDP):
        with pytest.raises(DatabaseBehind, match="citizenid backup catch-up"):
            served(role)
    (tmp_path / "live.toml").write_text(text)
    again = run(ca.app, "revoke", "--authority", "old-g1", "--serial", "1", status=1)
    assert again.startswith("backup_database_behind: ") and "citizenid backup catch-up" in again
    report = json.loads(run(backup.app, "catch-up", "--json"))
    assert (report["changes"], report["certificates"]) == (2, 0)
    assert "revoked" in run(ca.app, "revoke", "--authority", "old-g1", "--serial", "1", status=1)
    assert "backup_refused" in run(backup.app, "catch-up", status=1)


def test_ocsp_for_an_authority_whose_key_is_in_another_house(run: Run, tmp_path: Path) -> None:
    house = OldHouse()
    run(backup.app, "found")
    for slug in ("root", "g1"):
        (tmp_path / f"{slug}.cer").write_bytes(house.authorities[slug].public_bytes(Encoding.DER))
        run(migrate.app, "authority", tmp_path / f"{slug}.cer", "--slug", f"old-{slug}")
    assert "key_not_found" in run(migrate.app, "ocsp", "--authority", "old-g1", status=1)
    request = x509.load_pem_x509_csr(run(app, "ca", "responder-request", "--authority", "old-g1").encode())
    answer = tmp_path / "responder.cer"
    answer.write_bytes(house.responder(request.public_key(), authority="g1").public_bytes(Encoding.DER))
    said = run(app, "ca", "responder-certificate", answer, "--authority", "old-g1")
    assert said.startswith("old-g1: OCSP is answered here until 20")
    answer.write_bytes(house.responder(new_key().public_key(), authority="g1").public_bytes(Encoding.DER))
    refused = run(app, "ca", "responder-certificate", answer, "--authority", "old-g1", status=1)
    assert refused.startswith("ocsp_responder_refused: no key here waits for it")
