"""When a login answers a request, and what a request releases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from idp.authorize.model import AuthorizationRequest, Interaction, InteractionState
from idp.sessions.model import Session, SessionLimits

NOW = datetime(2026, 3, 2, tzinfo=UTC)
REQUEST = AuthorizationRequest(
    client_id="rp",
    redirect_uri="https://rp.example/",
    scope=("openid", "profile"),
    state="s",
    nonce=None,
    code_challenge="c" * 43,
    sector_identifier="rp.example",
)
SESSION = Session(
    id="s",
    person_id="p",
    acr="urn:citizenid:loa:substantial",
    amr=("swk", "user"),
    auth_time=NOW - timedelta(minutes=5),
    certificate_id=1,
    method="phone",
    statement_digest=b"",
    status_source="database",
    status_age_s=0,
    last_used_at=NOW,
    expires_at=NOW + timedelta(hours=8),
)


def interaction(request: AuthorizationRequest, created_at: datetime) -> Interaction:
    return Interaction(
        id="i",
        key="k",
        request=request,
        state=InteractionState.STARTED,
        session_id=None,
        created_at=created_at,
        expires_at=created_at + timedelta(minutes=10),
    )


@pytest.mark.parametrize(
    ("max_age", "acr_needed", "met"),
    [
        (None, 0, True),
        (300, 0, True),
        (299, 0, False),
        (0, 0, False),
        (None, 2, True),
        (None, 3, False),
        (300, 3, False),
    ],
)
def test_age_and_strength(max_age: int | None, acr_needed: int, met: bool) -> None:
    assert replace(REQUEST, max_age=max_age, acr_needed=acr_needed).is_met_by(SESSION, NOW) is met


def test_an_unknown_acr_meets_nothing_that_is_asked() -> None:
    assert not replace(REQUEST, acr_needed=1).is_met_by(replace(SESSION, acr="urn:other"), NOW)


def test_a_login_since_the_interaction_began_is_fresh() -> None:
    for request in (replace(REQUEST, prompt=("login",)), replace(REQUEST, max_age=0)):
        assert interaction(request, SESSION.auth_time).is_met_by(SESSION, NOW)
        assert not interaction(request, SESSION.auth_time + timedelta(microseconds=1)).is_met_by(SESSION, NOW)
        strong = replace(request, acr_needed=3)
        assert not interaction(strong, SESSION.auth_time).is_met_by(SESSION, NOW)


def test_released_claims_are_each_named_once() -> None:
    request = replace(
        REQUEST, id_token_claims=("birthdate", "revocation"), userinfo_claims=("age_over_18", "birthdate")
    )
    assert request.released_claims == ("name", "birthdate", "gender", "age_over_18", "revocation")
    assert request.claims == ("age_over_18", "birthdate", "revocation")


def test_the_path_follows_the_state() -> None:
    started = interaction(REQUEST, NOW)
    assert started.path == "/interaction/i"
    assert replace(started, state=InteractionState.AUTHENTICATED).path == "/interaction/i/consent"


def test_session_limits() -> None:
    limits = SessionLimits(idle_s=60)
    assert SESSION.is_live(NOW + timedelta(seconds=59), limits)
    assert not SESSION.is_live(NOW + timedelta(seconds=60), limits)
    busy = replace(SESSION, last_used_at=SESSION.expires_at)
    assert not busy.is_live(SESSION.expires_at, limits)
