"""`citizenid serve`, `provider-keys`, `audit key`, and what tables look like, over a country's own settings."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ca_core.audit.checkpoint import parse_checkpoint
from ca_core.audit.note import parse_note, parse_verifier_key, verify_note
from ca_core.kernel.database import sqlite_url
from ca_core.kernel.settings import load_settings
from idp.bench.model import Plan
from idp.cli import app
from idp.demo.bench_country import found_country
from idp.main.authority import CertificationAuthority
from support.processes import free_port


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operator-commands")
    url = sqlite_url(folder / "citizenid.db")
    found_country(Plan(folder=folder, database_url=url, port=free_port(), citizens=1, workers=1))
    return folder / "citizenid.toml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def with_role(config: Path, role: str) -> Path:
    """The same settings for another role, without what `all` needs."""
    path = config.with_name(f"{role}.toml")
    lines = [line for line in config.read_text("utf-8").splitlines() if not line.startswith("pairwise_secret_file")]
    path.write_text("\n".join([f'role = "{role}"', *lines]), "utf-8")
    return path


def test_the_settings_say_the_role_and_the_option_wins(config: Path) -> None:
    other = with_role(config, "mobile")
    refused = run("serve", "--config", other)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "role: mobile is not built yet" in refused.stderr
    assert "the role admin needs it" in run("serve", "--config", other, "--role", "admin").stderr


def test_the_log_key_that_is_printed_signed_the_checkpoint(config: Path) -> None:
    key = parse_verifier_key(run("audit", "key", "--config", config).stdout)
    ca = CertificationAuthority(load_settings(config))
    try:
        published = ca.published_log.checkpoint()
    finally:
        ca.close()
    assert published is not None
    note = parse_note(published)
    verify_note(note, key)
    assert parse_checkpoint(note.text).origin == key.name


def test_no_log_key_is_made_where_it_does_not_belong(config: Path) -> None:
    keys = sorted((config.parent / "keys").iterdir())
    refused = run("audit", "key", "--config", with_role(config, "mobile"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "configuration_error: role: the log's key" in refused.stderr
    assert sorted((config.parent / "keys").iterdir()) == keys


def test_missing_provider_keys_are_made_and_others_kept(config: Path) -> None:
    folder = config.parent / "keys"
    kept = (folder / "token-rs256.pem").read_bytes()
    (folder / "token-es256.pem").unlink()
    (folder / "statement.pem").unlink()
    made = run("provider-keys", "--config", config)
    assert (made.exit_code, made.stdout) == (0, "token-es256, token-rs256, statement\n")
    assert (folder / "token-rs256.pem").read_bytes() == kept
    assert {"token-es256.pem", "statement.pem"} <= {path.name for path in folder.iterdir()}


def test_a_table_cuts_nothing_short(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ca = CertificationAuthority(load_settings(config))
    try:
        identifier = ca.registry.by_slug("citizen-g1").key_identifier.hex()
    finally:
        ca.close()
    shown = run("ca", "list", "--config", config).stdout
    assert "…" not in shown
    assert identifier[:8] in shown and identifier[-4:] in shown


def test_nothing_is_revoked_past_the_second_place(config: Path) -> None:
    other = config.with_name("idp.toml")
    lines = [line for line in config.read_text("utf-8").splitlines() if "second_place" not in line]
    other.write_text("\n".join(['role = "idp"', *lines]), "utf-8")
    ca = CertificationAuthority(load_settings(config))
    try:
        with ca.database.read() as tx:
            head = ca.status_log.head(tx)
            refused = run("ca", "revoke", "--authority", "root-g1", "--serial", "1", "--config", other)
            assert (refused.exit_code, refused.stderr.split(",")[0]) == (
                1,
                "configuration_error: second_place: is missing",
            )
            assert ca.status_log.head(tx) == head
    finally:
        ca.close()
    assert "second_place: is missing" in run("card", "revoke", "1", "--config", other).stderr
    assert "second_place: is missing" in run("card", "suspend", "1", "--config", other).stderr
    assert "card_not_found" in run("card", "revoke", "1", "--config", config).stderr
