"""PKCE's own functions."""

import pytest

from idp.oauth.errors import InvalidGrant, InvalidRequest, UnsupportedGrantType
from idp.token.pkce import verify_code_challenge, verify_code_challenge_syntax, verify_code_verifier_syntax
from idp.token.service import TokenCommand

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
FORM = {
    "grant_type": "authorization_code",
    "code": "c" * 43,
    "redirect_uri": "https://rp.example/",
    "code_verifier": VERIFIER,
}


def test_the_vector_of_rfc_7636() -> None:
    verify_code_challenge(VERIFIER, CHALLENGE)


@pytest.mark.parametrize("challenge", [CHALLENGE.lower(), CHALLENGE[:-1], CHALLENGE + "=", "", VERIFIER])
def test_anything_else(challenge: str) -> None:
    with pytest.raises(InvalidGrant):
        verify_code_challenge(VERIFIER, challenge)


def test_syntax() -> None:
    verify_code_verifier_syntax(VERIFIER)
    verify_code_challenge_syntax(CHALLENGE)
    with pytest.raises(InvalidGrant):
        verify_code_verifier_syntax(f"{VERIFIER}\n")
    with pytest.raises(InvalidRequest):
        verify_code_challenge_syntax(f"{CHALLENGE}\n")


def test_a_command_is_read() -> None:
    assert TokenCommand.parse(FORM) == TokenCommand("c" * 43, "https://rp.example/", VERIFIER)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": ""}, InvalidRequest),
        ({"grant_type": "Authorization_code"}, UnsupportedGrantType),
        ({"code": ""}, InvalidRequest),
        ({"code": "c" * 42}, InvalidGrant),
        ({"code": "c" * 42 + "\n"}, InvalidGrant),
        ({"redirect_uri": ""}, InvalidRequest),
        ({"code_verifier": ""}, InvalidRequest),
        ({"code_verifier": "v" * 42}, InvalidGrant),
    ],
)
def test_a_command_is_refused(changes: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        TokenCommand.parse({**FORM, **changes})
