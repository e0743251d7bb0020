"""providers.json: strict, and all faults at once."""

import json
from typing import Any

import pytest

from card_bridge.errors import ConfigurationError
from card_bridge.statement.providers import Providers, parse_providers
from support.bridge_fakes import StatementKey


def entry(key: StatementKey, **changes: object) -> dict[str, Any]:
    members: dict[str, Any] = {
        "origin": "https://id.example.tw",
        "issuer": "https://id.example.tw",
        "name": {"zh-TW": "登入服務", "en": "Login service"},
        "jwks": {"keys": [key.jwk()]},
    }
    return members | changes


def parse(*entries: object) -> Providers:
    return parse_providers(json.dumps({"providers": list(entries)}).encode())


def test_found_by_the_exact_origin_alone(statement_key: StatementKey) -> None:
    providers = parse(entry(statement_key), entry(statement_key, origin="http://localhost:8000"))
    assert len(providers) == 2
    provider = providers.find("https://id.example.tw")
    assert provider is not None
    assert provider.issuer == "https://id.example.tw"
    for origin in ("https://id.example.tw/", "https://ID.example.tw", "https://evil.id.example.tw", "null", ""):
        assert providers.find(origin) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "https://id.example.tw/"},
        {"origin": "http://id.example.tw"},
        {"origin": "*"},
        {"origin": 1},
        {"issuer": ""},
        {"issuer": None},
        {"name": "x"},
        {"name": {"zh-TW": "登入服務"}},
        {"jwks": {}},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": ["x"]}},
        {"tls_ca": 1},
        {"extra": 1},
    ],
)
def test_faulty_entries(changes: dict[str, Any], statement_key: StatementKey) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\[0\]"):
        parse(entry(statement_key, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"alg": "HS256"},
        {"use": "enc"},
        {"kid": ""},
        {"kid": None},
        {"x": "AAAA"},
        {"x": "A" * 43},
        {"y": 1},
        {"d": "A" * 43},
    ],
)
def test_faulty_keys(changes: dict[str, Any], statement_key: StatementKey) -> None:
    with pytest.raises(ConfigurationError):
        parse(entry(statement_key, jwks={"keys": [statement_key.jwk() | changes]}))


def test_repeated_kids_and_origins(statement_key: StatementKey) -> None:
    with pytest.raises(ConfigurationError, match="kid"):
        parse(entry(statement_key, jwks={"keys": [statement_key.jwk(), statement_key.jwk()]}))
    with pytest.raises(ConfigurationError, match="twice"):
        parse(entry(statement_key), entry(statement_key))


def test_all_faults_are_named_at_once(statement_key: StatementKey) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(entry(statement_key, origin="x"), entry(statement_key), entry(statement_key, name="y"))
    assert "providers[0]" in caught.value.detail
    assert "providers[2]" in caught.value.detail
    assert "providers[1]" not in caught.value.detail


@pytest.mark.parametrize("octets", [b"", b"[]", b"{}", b'{"providers":{}}', b'{"providers":[],"x":1}', b"\xff"])
def test_documents_that_are_none(octets: bytes) -> None:
    with pytest.raises(ConfigurationError):
        parse_providers(octets)


def test_no_providers_is_allowed_when_it_is_said() -> None:
    assert len(parse()) == 0
