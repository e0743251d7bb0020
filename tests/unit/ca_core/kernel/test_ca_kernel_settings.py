"""Settings: every fault at once, unknown names refused, no http outside loopback, secrets from private files."""

from pathlib import Path
from typing import Any

import pytest

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.settings import load_settings, read_secret

_SECRETS = ("passphrase", "national-id", "lookup", "pairwise", "csrf", "card-master")


@pytest.fixture
def members(tmp_path: Path) -> dict[str, Any]:
    for name in _SECRETS:
        (tmp_path / name).write_bytes(b"s" * 32)
        (tmp_path / name).chmod(0o600)
    return {
        "issuer": "https://id.example",
        "database_url": f"sqlite:///{tmp_path}/db",
        "keys": {"kind": "software", "folder": tmp_path, "passphrase_file": tmp_path / "passphrase"},
        "national_id": {
            "keys": {"k1": tmp_path / "national-id"},
            "current": "k1",
            "lookup_key_file": tmp_path / "lookup",
        },
        "pairwise_secret_file": tmp_path / "pairwise",
        "csrf_secret_file": tmp_path / "csrf",
        "card_master_key_file": tmp_path / "card-master",
        "login_authorities": ["citizen-g3"],
        "trusted_root_files": [tmp_path / "root.pem"],
        "pki_base_url": "http://pki.example/pki",
        "second_place": tmp_path / "second-place",
    }


def test_a_complete_configuration_loads(members: dict[str, Any]) -> None:
    settings = load_settings(**members)
    assert settings.issuer == "https://id.example"
    assert settings.login_authorities == ("citizen-g3",)


def test_a_file_is_read_and_the_environment_wins(
    members: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "citizenid.toml"
    config.write_text('issuer = "https://file.example"\nlog_level = "warning"\n')
    del members["issuer"]
    monkeypatch.setenv("CITIZENID_LOG_LEVEL", "error")
    settings = load_settings(config, **members)
    assert (settings.issuer, settings.log_level) == ("https://file.example", "error")


def test_all_faults_are_reported_at_once(members: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITIZENID_ISUER", "x")
    del members["pairwise_secret_file"]
    members["port"] = 70_000
    members["surplus"] = 1
    with pytest.raises(ConfigurationError) as refused:
        load_settings(**members)
    faults = refused.value.detail.splitlines()
    assert [fault.partition(":")[0] for fault in faults] == [
        "CITIZENID_ISUER",
        "port",
        "pairwise_secret_file",
        "surplus",
    ]


@pytest.mark.parametrize(
    "issuer",
    ["http://id.example", "http://localhost:8000", "https://id.example/", "ftp://x", "https://id.example/path"],
)
def test_an_unsafe_issuer_is_refused(members: dict[str, Any], issuer: str) -> None:
    with pytest.raises(ConfigurationError, match="issuer"):
        load_settings(**{**members, "issuer": issuer})


def test_http_on_localhost_needs_the_dangerous_switch(members: dict[str, Any]) -> None:
    settings = load_settings(**{**members, "issuer": "http://localhost:8000", "allow_http_localhost": True})
    assert settings.issuer == "http://localhost:8000"
    with pytest.raises(ConfigurationError):
        load_settings(**{**members, "issuer": "http://id.example", "allow_http_localhost": True})


def test_a_missing_secret_file_stops_the_start(members: dict[str, Any]) -> None:
    members["csrf_secret_file"].unlink()
    with pytest.raises(ConfigurationError, match="csrf_secret_file"):
        load_settings(**members)


def test_a_password_is_not_printed(members: dict[str, Any]) -> None:
    settings = load_settings(**{**members, "database_url": "postgresql+psycopg://u:hunter2@db/x"})
    assert "hunter2" not in str(settings.redacted())


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"s" * 32)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        read_secret(path)
    path.chmod(0o600)
    assert read_secret(path) == b"s" * 32
    path.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="shorter"):
        read_secret(path)
