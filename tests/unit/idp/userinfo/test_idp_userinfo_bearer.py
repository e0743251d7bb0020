"""Where a bearer token may be, and what it may look like."""

import pytest

from idp.oauth.errors import BearerInvalidRequest, InvalidToken, TokenMissing
from idp.userinfo.bearer import parse_bearer


def test_the_token() -> None:
    assert parse_bearer(["Bearer abc.~+/-_9=="], elsewhere=False) == "abc.~+/-_9=="
    assert parse_bearer(["BEARER   abc"], elsewhere=False) == "abc"


@pytest.mark.parametrize("headers", [[], ["Basic abc"], [""], ["abc"], ["DPoP x"]])
def test_no_token(headers: list[str]) -> None:
    with pytest.raises(TokenMissing):
        parse_bearer(headers, elsewhere=False)


@pytest.mark.parametrize("headers", [["Bearer"], ["Bearer "], ["Bearer a\u00e9"], ["Bearer a b"], ["Bearer a"] * 2])
def test_malformed(headers: list[str]) -> None:
    with pytest.raises(BearerInvalidRequest):
        parse_bearer(headers, elsewhere=False)


def test_elsewhere() -> None:
    for headers in ([], ["Bearer abc"]):
        with pytest.raises(BearerInvalidRequest):
            parse_bearer(headers, elsewhere=True)


def test_too_long_to_be_ours() -> None:
    with pytest.raises(InvalidToken):
        parse_bearer(["Bearer " + "a" * 513], elsewhere=False)
