"""Settings: what each role needs, where members come from, and that no value shows in a fault."""

from pathlib import Path
from typing import Any

import pytest

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.settings import (
    NEEDED_BY,
    WITH_SECOND_PLACE,
    NationalIdSettings,
    Pkcs11Keys,
    Role,
    SoftwareKeys,
    load_settings,
    read_passphrase,
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2-" * 8)
    path.chmod(0o600)
    return path


@pytest.fixture
def members(tmp_path: Path, secret: Path) -> dict[str, Any]:
    return {
        "issuer": "https://id.example",
        "database_url": f"sqlite:///{tmp_path}/db",
        "keys": {"kind": "software", "folder": tmp_path, "passphrase_file": secret},
        "national_id": {"keys": {"k1": secret}, "current": "k1", "lookup_key_file": secret},
        "pairwise_secret_file": secret,
        "csrf_secret_file": secret,
        "card_master_key_file": secret,
        "login_authorities": ["citizen-g3"],
        "trusted_root_files": [str(tmp_path / "root.pem")],
        "second_place": tmp_path / "second-place",
        "ca_connection": {"url": "https://ca.internal.example:8443", **tls_files(tmp_path, secret)},
        "ca_port": {
            **tls_files(tmp_path, secret),
            "client_authority": "citizen-g3",
            "clients": {"va": {"operations": ["issue"]}, "worker": {"operations": "publish-due, recover"}},
        },
    }


def tls_files(folder: Path, secret: Path) -> dict[str, Path]:
    return {
        "certificate_file": folder / "chain.pem",
        "key_file": secret,
        "trusted_root_file": folder / "root.pem",
    }


def faults_of(**members: Any) -> list[str]:  # noqa: ANN401 - wrong values on purpose
    with pytest.raises(ConfigurationError) as refused:
        load_settings(**members)
    assert "hunter2" not in str(refused.value)
    return refused.value.detail.splitlines()


@pytest.mark.parametrize("role", list(Role))
def test_a_role_needs_its_own_members_and_no_others(members: dict[str, Any], role: Role) -> None:
    needed = {member for member, roles in NEEDED_BY.items() if role in roles}
    bare = {member: value for member, value in members.items() if member not in NEEDED_BY}
    if needed:
        faults = faults_of(role=role, **bare)
        assert {fault.partition(":")[0] for fault in faults} == needed
        assert all(f"the role {role} needs it" in fault for fault in faults)
    settings = load_settings(role=role, **bare, **{member: members[member] for member in needed})
    assert settings.role is role


def test_nothing_at_all() -> None:
    faults = [fault.partition(":")[0] for fault in faults_of()]
    assert faults == [
        "issuer",
        "database_url",
        "keys",
        "without_second_place",
        "national_id",
        "pairwise_secret_file",
        "csrf_secret_file",
        "card_master_key_file",
        "login_authorities",
        "trusted_root_files",
    ]


def test_members_from_the_environment(
    members: dict[str, Any], monkeypatch: pytest.MonkeyPatch, secret: Path, tmp_path: Path
) -> None:
    for member in ("keys", "national_id", "login_authorities", "trusted_root_files"):
        del members[member]
    for name, value in {
        "TRUSTED_ROOT_FILES": "/etc/root-g2.pem, /etc/root-g3.pem",
        "KEYS__KIND": "pkcs11",
        "KEYS__MODULE": "/usr/lib/softhsm/libsofthsm2.so",
        "KEYS__TOKEN_LABEL": "national CA",
        "KEYS__PIN_FILE": str(secret),
        "NATIONAL_ID__KEYS__2026": str(secret),
        "NATIONAL_ID__CURRENT": "2026",
        "NATIONAL_ID__LOOKUP_KEY_FILE": str(secret),
        "LOGIN_AUTHORITIES": "citizen-g2, citizen-g3",
        "PORT": "8443",
    }.items():
        monkeypatch.setenv(f"CITIZENID_{name}", value)
    settings = load_settings(**members)
    assert settings.keys == Pkcs11Keys(
        kind="pkcs11", module=Path("/usr/lib/softhsm/libsofthsm2.so"), token_label="national CA", pin_file=secret
    )
    assert settings.national_id == NationalIdSettings(keys={"2026": secret}, current="2026", lookup_key_file=secret)
    assert settings.login_authorities == ("citizen-g2", "citizen-g3")
    assert settings.trusted_root_files == (Path("/etc/root-g2.pem"), Path("/etc/root-g3.pem"))
    assert settings.port == 8443


def test_sections_are_merged_and_what_is_nearer_wins(
    members: dict[str, Any], monkeypatch: pytest.MonkeyPatch, secret: Path, tmp_path: Path
) -> None:
    del members["keys"]
    config = tmp_path / "citizenid.toml"
    config.write_text(
        'log_level = "warning"\nport = 1\n'
        f'[keys]\nkind = "software"\nfolder = "/nowhere"\npassphrase_file = "{secret}"\n'
    )
    monkeypatch.setenv("CITIZENID_CONFIG", str(config))
    monkeypatch.setenv("CITIZENID_KEYS__FOLDER", str(tmp_path))
    monkeypatch.setenv("CITIZENID_PORT", "2")
    settings = load_settings(**members, port=3)
    assert settings.keys == SoftwareKeys(kind="software", folder=tmp_path, passphrase_file=secret)
    assert (settings.log_level, settings.port) == ("warning", 3)


def test_a_file_that_cannot_be_read_is_one_fault_among_the_others(tmp_path: Path, members: dict[str, Any]) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("port = \n")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(broken, **members, log_level="loud")
    assert [line.partition(":")[0] for line in refused.value.detail.splitlines()] == [str(broken), "log_level"]
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path / "missing.toml", **members)


def test_unknown_names_are_refused_wherever_they_stand(
    members: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "citizenid.toml"
    config.write_text("prot = 1\n[national_id]\nlookup_key = 'hunter2'\n")
    monkeypatch.setenv("CITIZENID_KEYS__PASSPHRASE", "hunter2")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(config, **members)
    assert sorted(refused.value.detail.splitlines()) == [
        "keys.software.passphrase: is not a setting",
        "national_id.lookup_key: is not a setting",
        "prot: is not a setting",
    ]
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"issuer": "https://ID.example"}, "issuer"),
        ({"issuer": "https://id.example:443"}, "issuer"),
        ({"issuer": "https://user:hunter2@id.example"}, "issuer"),
        ({"issuer": "http://127.0.0.1:8000", "allow_http_localhost": True}, "issuer"),
        ({"issuer": "http://localhost.example", "allow_http_localhost": True}, "issuer"),
        ({"database_url": "mysql://u:hunter2@h/d"}, "database_url"),
        ({"database_url": "sqlite:///relative.db"}, "database_url"),
        ({"database_url": "postgresql+psycopg://host"}, "database_url"),
        ({"database_url": "postgresql+psycopg://u@host/d?password=hunter2"}, "database_url"),
        ({"pki_base_url": "http://pki.example/pki/"}, "pki_base_url"),
        ({"bridge_origin": "http://192.168.1.1:61161"}, "bridge_origin"),
        ({"bridge_origin": "http://127.0.0.1:61161/"}, "bridge_origin"),
        ({"login_authorities": ["Citizen G3"]}, "login_authorities.0"),
        ({"login_authorities": []}, "login_authorities"),
        ({"statement_key_label": "../key"}, "statement_key_label"),
        ({"csrf_secret_file": Path("relative")}, "csrf_secret_file"),
        ({"keys": {"kind": "memory"}}, "keys"),
        ({"ca_connection": {"url": "http://ca.example:1"}}, "ca_connection.url"),
        ({"ca_port": {"clients": {}}}, "ca_port.clients"),
        ({"ca_port": {"clients": {"idp": {"operations": ["issue"]}}}}, "ca_port.clients.idp.[key]"),
        ({"ca_port": {"clients": {"va": {"operations": []}}}}, "ca_port.clients.va.operations"),
        (
            {"ca_port": {"clients": {"va": {"operations": "issue", "key_pins": ["ab"]}}}},
            "ca_port.clients.va.key_pins.0",
        ),
    ],
)
def test_refused(members: dict[str, Any], changed: dict[str, Any], fault: str) -> None:
    for section in ("ca_connection", "ca_port"):
        if section in changed:
            changed = changed | {section: members[section] | changed[section]}
    assert [line.partition(":")[0] for line in faults_of(**members | changed)] == [fault]


def test_the_current_key_must_be_among_the_keys(members: dict[str, Any]) -> None:
    members["national_id"] |= {"current": "k2"}
    assert faults_of(**members) == ["national_id: current names none of the keys"]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("without", [False, True])
def test_a_second_place_is_named_or_refused_by_the_dangerous_switch(
    members: dict[str, Any], secret: Path, role: Role, named: bool, without: bool
) -> None:
    del members["second_place"]
    chosen: dict[str, Any] = {"second_place": secret.parent / "s"} if named else {}
    if (named and without) or (not named and not without and role in WITH_SECOND_PLACE):
        faults = faults_of(**_needed(members, role), **chosen, without_second_place=without)
        assert [line.partition(":")[0] for line in faults] == ["without_second_place"]
    else:
        settings = load_settings(**_needed(members, role), **chosen, without_second_place=without)
        assert settings.without_second_place is without


def _needed(members: dict[str, Any], role: Role) -> dict[str, Any]:
    return {"role": role} | members


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o777])
def test_a_secret_that_others_may_read_or_write(members: dict[str, Any], secret: Path, mode: int) -> None:
    secret.chmod(mode)
    assert "csrf_secret_file: others may read or write it" in faults_of(**members)


def test_a_group_may_read_a_mounted_secret(members: dict[str, Any], secret: Path) -> None:
    secret.chmod(0o440)
    assert load_settings(**members).csrf_secret_file == secret


def test_an_empty_secret_is_none(members: dict[str, Any], secret: Path) -> None:
    secret.write_bytes(b"")
    assert any(fault.startswith("csrf_secret_file: is empty") for fault in faults_of(**members))


def test_the_database_password_comes_from_its_file_and_never_shows(members: dict[str, Any], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_bytes("hunter2/ü@\n".encode())
    password.chmod(0o600)
    members |= {
        "database_url": "postgresql+psycopg://citizenid@db.example/citizenid",
        "database_password_file": password,
    }
    settings = load_settings(**members)
    assert settings.database_dsn() == "postgresql+psycopg://citizenid:hunter2%2F%C3%BC%40@db.example/citizenid"
    assert "hunter2" not in f"{settings!r} {settings} {settings.redacted()}"
    assert settings.redacted()["database_password_file"] == str(password)


def test_a_passphrase_loses_its_line_end_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_bytes(b" 1234 \r\n")
    path.chmod(0o600)
    assert read_passphrase(path) == b" 1234 "
    path.write_bytes(b"\n")
    with pytest.raises(ConfigurationError):
        read_passphrase(path)


def test_a_password_in_the_url_is_masked(members: dict[str, Any]) -> None:
    settings = load_settings(**members | {"database_url": "postgresql+psycopg://u:hunter2@db.example/d"})
    assert settings.database_dsn() == "postgresql+psycopg://u:hunter2@db.example/d"
    assert "hunter2" not in f"{settings!r} {settings} {settings.redacted()}"


def test_settings_do_not_change(members: dict[str, Any]) -> None:
    settings = load_settings(**members)
    with pytest.raises(ValueError, match="frozen"):
        settings.issuer = "https://evil.example"
    assert settings.pki_base_url == "https://id.example/pki"
