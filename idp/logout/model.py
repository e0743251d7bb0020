"""A logout request, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from idp.clients.model import Client
from idp.logout.errors import LogoutRefused

MAX_STATE = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutCommand:
    """A logout request as it came; all of it untrusted."""

    id_token_hint: str | None = None
    client_id: str | None = None
    post_logout_redirect_uri: str | None = None
    state: str | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> "LogoutCommand":
        """logout_hint and ui_locales are wishes and left out. Raises: LogoutRefused."""
        state = fields.get("state") or None
        if state is not None and len(state) > MAX_STATE:
            raise LogoutRefused("state is too long")
        return cls(
            id_token_hint=fields.get("id_token_hint") or None,
            client_id=fields.get("client_id") or None,
            post_logout_redirect_uri=fields.get("post_logout_redirect_uri") or None,
            state=state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """Nobody is logged in in this browser any more. url: where it goes now; None for our own page."""

    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationNeeded:
    """The person decides. client: who asks, where that is known. fields: what the form brings back."""

    client: Client | None
    fields: dict[str, str]
    redirect_uri: str | None
