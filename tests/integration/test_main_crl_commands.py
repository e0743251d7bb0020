"""`citizenid ca check-crls`, `delta-crl`, `crl-shards`, over a country's own settings."""

import json
import sqlite3
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ca_core.kernel.database import sqlite_url
from idp.bench.model import Plan
from idp.commands import crl
from idp.demo.bench_country import found_country
from support.processes import free_port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crl-commands")
    url = sqlite_url(folder / "citizenid.db")
    found_country(Plan(folder=folder, database_url=url, port=free_port(), citizens=1, workers=1))
    return folder


def run(folder: Path, *arguments: str) -> Result:
    app = typer.Typer()
    crl.register(app)
    return CliRunner().invoke(app, [*arguments, "--config", str(folder / "citizenid.toml")])


def test_lists_are_checked_and_deltas_made(folder: Path) -> None:
    found = run(folder, "check-crls", "--json")
    assert found.exit_code == 0
    assert [check["authority"] for check in json.loads(found.stdout)] == ["root-g1", "citizen-g1"]
    made = run(folder, "delta-crl", "--authority", "citizen-g1")
    assert (made.exit_code, made.stdout.split()[:2]) == (0, ["delta", "CRL"])
    table = run(folder, "check-crls", "--authority", "citizen-g1")
    assert table.exit_code == 0
    assert "citizen" in table.stdout


def test_refusals(folder: Path) -> None:
    for command in (["check-crls"], ["delta-crl"], ["crl-shards", "--count", "2"]):
        refused = run(folder, *command, "--authority", "nobody")
        assert (refused.exit_code, refused.stderr.strip()) == (1, "authority_not_found: nobody")
    refused = run(folder, "crl-shards", "--authority", "citizen-g1", "--count", "1025")
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "shard_layout_refused")
    made = run(folder, "crl-shards", "--authority", "citizen-g1", "--count", "4")
    first, second = made.stdout.splitlines()
    assert first == "layout 2 of citizen-g1: shards 4 to 7"
    assert second.endswith("with a list for each shard")
    (check,) = json.loads(run(folder, "check-crls", "--authority", "citizen-g1", "--json").stdout)
    assert (check["shards"], check["faults"]) == (8, [])


def test_a_fault_is_an_exit_status(folder: Path) -> None:
    with sqlite3.connect(folder / "citizenid.db") as connection:
        connection.execute("UPDATE crls SET entries = entries + 1 WHERE kind = 'complete'")
    connection.close()
    faulty = run(folder, "check-crls")
    assert faulty.exit_code == 1
    assert "its row says" in faulty.stderr
