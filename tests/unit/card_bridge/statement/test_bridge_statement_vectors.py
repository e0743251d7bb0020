"""The shared vectors: the bridge takes and refuses exactly what the server's implementation takes and refuses."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from card_bridge.statement import errors
from card_bridge.statement.jose import parse_public_jwk
from card_bridge.statement.model import LocalText, VerifiedStatement
from card_bridge.statement.providers import Provider
from card_bridge.statement.service import CARD_FLOWS, StatementVerifier
from card_bridge.web_eid.origin import parse_origin

FOLDER = next(parent for parent in Path(__file__).parents if parent.name == "tests") / "vectors" / "statement"
EXPECTED = {
    "statement_expired": errors.StatementExpired,
    "statement_not_yet_valid": errors.StatementNotYetValid,
    "statement_issuer_mismatch": errors.StatementIssuerDiffers,
    "statement_origin_mismatch": errors.StatementOriginDiffers,
    "statement_key_unknown": errors.StatementKeyUnknown,
    "statement_signature_invalid": errors.StatementSignatureInvalid,
    "statement_malformed": errors.StatementRefused,
}


def load(name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    document = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return document["vectors"], document["jwks"]


def verify(vector: dict[str, Any], jwks: dict[str, Any], nonce: str) -> VerifiedStatement:
    provider = Provider(
        origin=parse_origin(vector["origin"]),
        issuer=vector["issuer"],
        name=LocalText(zh_tw="測試", en="Test"),
        keys=dict(parse_public_jwk(key) for key in jwks["keys"]),
    )
    verifier = StatementVerifier(lambda: datetime.fromtimestamp(vector["now"], UTC))
    return verifier.verify(vector["compact"], challenge_nonce=nonce, provider=provider)


ACCEPTED, ACCEPTED_JWKS = load("accepted.json")
REFUSED, REFUSED_JWKS = load("refused.json")


@pytest.mark.parametrize("vector", ACCEPTED, ids=[vector["name"] for vector in ACCEPTED])
def test_accepted(vector: dict[str, Any]) -> None:
    if vector["payload"]["flow"] not in CARD_FLOWS:
        with pytest.raises(errors.StatementFlowRefused):  # the last check: everything else about it holds
            verify(vector, ACCEPTED_JWKS, vector["challenge_nonce"])
        return
    verified = verify(vector, ACCEPTED_JWKS, vector["challenge_nonce"])
    assert verified.digest.hex() == vector["digest"]
    assert verified.code == vector["code"]
    assert verified.statement.client_name.zh_tw == vector["payload"]["client_name"]["zh-TW"]


@pytest.mark.parametrize("vector", REFUSED, ids=[vector["name"] for vector in REFUSED])
def test_refused(vector: dict[str, Any]) -> None:
    nonce = b64encode(sha256(vector["compact"].encode("utf-8", "surrogatepass")).digest()).decode()
    with pytest.raises(EXPECTED[vector["refusal"]]):
        verify(vector, REFUSED_JWKS, nonce)
