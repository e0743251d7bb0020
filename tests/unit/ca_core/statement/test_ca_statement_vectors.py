"""The vectors of tests/vectors/statement, read by the server's verifier."""

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ca_core.statement import (
    SignedStatement,
    Statement,
    StatementKeys,
    StatementRefused,
    parse_compact,
    verify_statement,
)
from ca_core.statement.wire import payload_octets

ROOT = Path(__file__).resolve().parents[4]
FOLDER = ROOT / "tests" / "vectors" / "statement"


def load(name: str) -> list[Any]:
    content = json.loads((FOLDER / name).read_text(encoding="ascii"))
    keys = StatementKeys.from_jwks(content["jwks"])
    return [pytest.param(vector, keys, id=vector["name"]) for vector in content["vectors"]]


def verified(vector: dict[str, Any], keys: StatementKeys) -> Statement:
    return verify_statement(
        vector["compact"],
        keys,
        issuer=vector["issuer"],
        origin=vector["origin"],
        now=datetime.fromtimestamp(vector["now"], UTC),
    )


@pytest.mark.parametrize(("vector", "keys"), load("accepted.json"))
def test_an_accepted_vector_gives_its_members_and_digest(vector: dict[str, Any], keys: StatementKeys) -> None:
    statement = verified(vector, keys)
    assert json.loads(payload_octets(statement)) == vector["payload"]
    signed = SignedStatement.from_own_record(vector["compact"])
    assert signed.statement == statement
    assert signed.digest.hex() == vector["digest"]
    assert signed.challenge_nonce == vector["challenge_nonce"]
    assert signed.code == vector["code"]


@pytest.mark.parametrize(("vector", "keys"), load("refused.json"))
def test_a_refused_vector_gives_its_code(vector: dict[str, Any], keys: StatementKeys) -> None:
    with pytest.raises(StatementRefused) as refusal:
        verified(vector, keys)
    assert refusal.value.code == vector["refusal"]


def test_the_files_hold_every_flow_and_every_code() -> None:
    accepted = json.loads((FOLDER / "accepted.json").read_text(encoding="ascii"))["vectors"]
    refused = json.loads((FOLDER / "refused.json").read_text(encoding="ascii"))["vectors"]
    assert {parse_compact(vector["compact"]).statement.flow.value for vector in accepted} == {
        "card",
        "phone-qr",
        "phone-link",
        "phone-push",
        "passkey",
        "sign",
        "decrypt",
        "enrol",
        "passkey-register",
    }
    assert {vector["refusal"] for vector in refused} == {
        "statement_malformed",
        "statement_key_unknown",
        "statement_signature_invalid",
        "statement_issuer_mismatch",
        "statement_origin_mismatch",
        "statement_not_yet_valid",
        "statement_expired",
    }


def test_the_committed_files_are_what_the_script_makes() -> None:
    assert vector_script().main(["--check"]) == 0


def vector_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_statement_vectors", ROOT / "scripts/make_statement_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
