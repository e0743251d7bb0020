"""The data folder: read strictly, all faults at once."""

import json
from pathlib import Path

import pytest

from card_bridge.errors import ConfigurationError
from card_bridge.messages.catalogue import Catalogues, choose_language
from card_bridge.settings import DEFAULT_PORT, read_data
from support.bridge_fakes import StatementKey


def write(folder: Path, toml: str | None, providers: str | None = '{"providers":[]}') -> Path:
    for name, text in (("bridge.toml", toml), ("providers.json", providers)):
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o644)
    return folder


def test_defaults_without_bridge_toml(tmp_path: Path) -> None:
    data = read_data(write(tmp_path, None))
    assert data.settings.port == DEFAULT_PORT
    assert data.settings.reader is None
    assert data.settings.policy().minimum_interval_s == 1.0


def test_what_bridge_toml_says(tmp_path: Path, statement_key: StatementKey) -> None:
    name = {"zh-TW": "登入服務", "en": "Login"}
    entry = {"origin": "http://localhost:8000", "issuer": "http://localhost:8000", "name": name}
    providers = json.dumps({"providers": [{**entry, "jwks": {"keys": [statement_key.jwk()]}}]})
    toml = 'port = 0\nreader = "Virtual PCD 00 00"\npcsc_socket = "/run/x"\nminimum_interval_s = 0\n'
    data = read_data(write(tmp_path, toml, providers))
    assert (data.settings.port, data.settings.reader, data.settings.pcsc_socket) == (0, "Virtual PCD 00 00", "/run/x")
    assert data.providers.find("http://localhost:8000") is not None


@pytest.mark.parametrize(
    "toml",
    [
        "prot = 1",
        "port = -1",
        "port = 65536",
        'port = "1"',
        "reader = ''",
        "x",
        "timeout_s = 1",
    ],
)
def test_faulty_settings(toml: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"bridge\.toml"):
        read_data(write(tmp_path, toml))


def test_faults_of_both_files_come_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_data(write(tmp_path, "port = -1\nreader = 5\n", "[]"))
    assert caught.value.detail.count("\n") == 2


def test_missing_providers_never_mean_that_all_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.json"):
        read_data(write(tmp_path, "", None))
    with pytest.raises(ConfigurationError, match="no such folder"):
        read_data(tmp_path / "absent")


def test_pins_that_everyone_may_write_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "")
    (tmp_path / "providers.json").chmod(0o666)
    with pytest.raises(ConfigurationError, match="everyone"):
        read_data(tmp_path)


def test_both_catalogues_hold_every_key_and_every_field() -> None:
    catalogues = Catalogues.load()
    assert len(catalogues.keys()) > 100
    assert catalogues.translator("zh-TW")("window.cancel") == "取消"
    assert catalogues.translator("en")("window.cancel") == "Cancel"
    assert catalogues.translator("fr")("window.cancel") == "取消"


def test_a_catalogue_that_lacks_a_key_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "zh-TW.po").write_text('msgid "a"\nmsgstr "甲{x}"\n\nmsgid "b"\nmsgstr "乙"\n', encoding="utf-8")
    (tmp_path / "en.po").write_text('msgid "a"\nmsgstr "A"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="b, a"):
        Catalogues.load(tmp_path)


@pytest.mark.parametrize(
    ("wishes", "lang"),
    [
        ((), "zh-TW"),
        (("",), "zh-TW"),
        (("en_US.UTF-8",), "en"),
        (("zh_TW.UTF-8",), "zh-TW"),
        (("fr", "en"), "en"),
        (("ja,en;q=0.8,zh;q=0.5",), "en"),
        (("C.UTF-8",), "zh-TW"),
    ],
)
def test_language(wishes: tuple[str, ...], lang: str) -> None:
    assert choose_language(*wishes) == lang
