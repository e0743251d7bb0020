"""When earlier consents cover what is asked."""

from datetime import UTC, datetime

import pytest

from idp.consent.model import Consent, covers


def consent(scope: str, claims: str = "") -> Consent:
    return Consent(
        person_id="p",
        client_id="c",
        scope=tuple(scope.split()),
        claims=tuple(claims.split()),
        granted_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("given", "scope", "claims", "covered"),
    [
        ([], "openid", "", False),
        ([("openid", "")], "openid", "", True),
        ([("openid profile", "")], "openid", "", True),
        ([("openid", "")], "openid profile", "", False),
        ([("openid", ""), ("openid profile", "")], "openid profile", "", True),
        ([("openid profile", ""), ("openid age", "")], "openid profile age", "", True),
        ([("openid profile", "")], "openid", "name", True),
        ([("openid profile", "")], "openid", "national_id", False),
        ([("openid", "name")], "openid", "name", True),
        ([("openid", "name")], "openid profile", "", False),
        ([("openid national_id", "")], "openid", "national_id_last4", False),
    ],
)
def test_covers(given: list[tuple[str, str]], scope: str, claims: str, covered: bool) -> None:
    consents = [consent(*one) for one in given]
    assert covers(consents, tuple(scope.split()), tuple(claims.split())) is covered
