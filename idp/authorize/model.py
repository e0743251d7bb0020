"""A checked authorization request, and the interaction in which a citizen answers it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from idp.oauth.scopes import ACR_HIGH, acr_rank, claims_of
from idp.sessions.model import Session

INTERACTION_TTL_S = 600


class Prompt(StrEnum):
    NONE = "none"
    LOGIN = "login"
    CONSENT = "consent"
    SELECT_ACCOUNT = "select_account"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that passed every check: the client is registered, redirect_uri is its own, scope is within its own.

    scope: in the order of SCOPE_CLAIMS. sector_identifier: the client's, for pairwise subjects.
    id_token_claims, userinfo_claims: asked by the `claims` parameter, sorted, within the client's scopes.
    expected_sub: the only subject the answer may be about. acr_needed: rank of the weakest level that suffices, 0 for
    any; acr_is_essential: the client wants an error rather than less.
    """

    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    state: str | None
    nonce: str | None
    code_challenge: str
    sector_identifier: str
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()
    acr_needed: int = 0
    acr_is_essential: bool = False
    ui_locales: str = ""
    id_token_claims: tuple[str, ...] = ()
    userinfo_claims: tuple[str, ...] = ()
    expected_sub: str | None = None

    @property
    def claims(self) -> tuple[str, ...]:
        """Claims asked by name, sorted: what consent is kept for beside the scope."""
        if not self.id_token_claims and not self.userinfo_claims:
            return ()
        return tuple(sorted({*self.id_token_claims, *self.userinfo_claims}))

    @property
    def released_claims(self) -> tuple[str, ...]:
        """Every personal claim that the client will be told, for the statement and the consent page."""
        by_scope = claims_of(self.scope)
        return (*by_scope, *(name for name in self.claims if name not in by_scope))

    @property
    def acr(self) -> str:
        """The level that a login for this request is to reach; every method of this provider reaches the highest."""
        return ACR_HIGH

    def wants_fresh_login(self) -> bool:
        return Prompt.LOGIN in self.prompt or Prompt.SELECT_ACCOUNT in self.prompt

    def is_met_by(self, session: Session, now: datetime) -> bool:
        """Whether this login is recent and strong enough. `prompt=login` is judged apart: see `Interaction`."""
        if self.max_age is not None and now - session.auth_time > timedelta(seconds=self.max_age):
            return False
        return self.is_strong_enough(session)

    def is_strong_enough(self, session: Session) -> bool:
        return self.acr_needed == 0 or acr_rank(session.acr) >= self.acr_needed

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, stored: str) -> "AuthorizationRequest":
        """The request as `to_json` wrote it; from our own database only."""
        members: dict[str, Any] = json.loads(stored)
        for name, value in members.items():
            if isinstance(value, list):
                members[name] = tuple(value)
        return cls(**members)


class InteractionState(StrEnum):
    """started -> authenticated -> decided; started -> decided where the person gave up or need not be asked."""

    STARTED = "started"
    AUTHENTICATED = "authenticated"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A citizen's answer in the making, in one browser.

    id: 256 random bits, in the URL, stored nowhere. key: its hash, which everything stored refers to.
    session_id: the login that answers it, once there is one.
    """

    id: str
    key: str
    request: AuthorizationRequest
    state: InteractionState
    session_id: str | None
    created_at: datetime
    expires_at: datetime

    @property
    def path(self) -> str:
        """Where the person goes on: the login page, or the consent page where a login is there already."""
        is_login = self.state is InteractionState.STARTED
        return f"/interaction/{self.id}" if is_login else f"/interaction/{self.id}/consent"

    def is_met_by(self, session: Session, now: datetime) -> bool:
        """Whether the session answers the request. A login made since the interaction began is recent enough for any
        `max_age`; where a fresh login is wanted, only such a one will do."""
        if session.auth_time >= self.created_at:
            return self.request.is_strong_enough(session)
        return not self.request.wants_fresh_login() and self.request.is_met_by(session, now)


@dataclass(frozen=True, slots=True)
class Redirect:
    """The browser goes back to the relying party, with a code or an error."""

    url: str


@dataclass(frozen=True, slots=True)
class InteractionStarted:
    """The person is needed. path: below the issuer, begins with `/interaction/`."""

    interaction_id: str
    path: str


@dataclass(frozen=True, slots=True)
class ConsentNeeded:
    """The login is done; the person has to allow what is asked."""

    path: str


def ordered(names: Sequence[str], order: Sequence[str]) -> tuple[str, ...]:
    """Those of `order` that are in `names`, in that order."""
    return tuple(name for name in order if name in names)
