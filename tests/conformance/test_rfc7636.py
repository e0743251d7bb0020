"""RFC 7636, Proof Key for Code Exchange, with S256 alone: one test a MUST."""

from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest

from idp.token.store import authorization_grant
from support.openid_provider import VERIFIER, ProviderHouse, answer_of


def challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize("method", [None, "", "plain", "s256", "S512"])
def test_s256_is_the_only_method(house: ProviderHouse, method: str | None) -> None:
    """s4.3, s4.4.1: invalid_request; s7.2: plain SHOULD NOT be used."""
    answer = answer_of(house.authorize(code_challenge_method=method))
    assert answer["error"] == "invalid_request"


@pytest.mark.parametrize(
    "challenge", [None, "", "x" * 42, "x" * 44, "x" * 42 + "=", "x" * 42 + "+", "x" * 42 + "\u00e9"]
)
def test_a_missing_or_malformed_challenge_is_refused(house: ProviderHouse, challenge: str | None) -> None:
    """s4.4.1"""
    answer = answer_of(house.authorize(code_challenge=challenge))
    assert answer["error"] == "invalid_request"
    assert house.count(authorization_grant) == 0


@pytest.mark.parametrize("public", [False, True])
def test_a_wrong_verifier_gives_no_token_and_spends_the_code(house: ProviderHouse, public: bool) -> None:
    """s4.6: MUST return invalid_grant."""
    client = house.register_public() if public else house.rp
    code = house.code_at_once(client_id=client.client.client_id)
    wrong = house.redeem(code, client=client, code_verifier="w" * 43)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    right = house.redeem(code, client=client)
    assert (right.status_code, right.json()["error"]) == (400, "invalid_grant")
    assert house.live_tokens() == 0
    assert [name for name, _, _ in house.events()][-2:] == ["code.refused", "code.replayed"]


def test_the_challenge_itself_is_no_verifier(house: ProviderHouse) -> None:
    """s4.6: what `plain` would accept."""
    code = house.code_at_once()
    assert house.redeem(code, code_verifier=challenge_of(VERIFIER)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "verifier", ["v" * 42, "v" * 129, "v" * 42 + "+", "v" * 42 + "/", "v" * 42 + "\n", "\u8eab" * 43]
)
def test_a_verifier_outside_its_grammar_is_refused(house: ProviderHouse, verifier: str) -> None:
    """s4.1"""
    code = house.code_at_once(code_challenge=challenge_of(verifier))
    response = house.redeem(code, code_verifier=verifier)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("verifier", ["v" * 43, "-._~" * 32])
def test_the_shortest_and_the_longest_verifier_pass(house: ProviderHouse, verifier: str) -> None:
    """s4.1: 43 to 128 characters."""
    code = house.code_at_once(code_challenge=challenge_of(verifier))
    assert house.redeem(code, code_verifier=verifier).status_code == 200


def test_the_vector_of_appendix_b(house: ProviderHouse) -> None:
    code = house.code_at_once(code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert house.redeem(code, code_verifier=verifier).status_code == 200
