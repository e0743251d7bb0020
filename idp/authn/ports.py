"""What the login and consent pages need from the interaction's own service."""

from typing import Protocol

from idp.authorize.model import Interaction, Redirect
from idp.clients.model import Client
from idp.sessions.model import Session


class Interactions(Protocol):
    """Interactions with citizens (`idp.authorize`)."""

    def interaction(self, interaction_id: str, browser_token: str) -> Interaction:
        """The live interaction of this id in this browser. Raises: InteractionError."""
        ...

    def decide(self, interaction: Interaction, session: Session, allow: bool, *, request_id: str = "") -> Redirect:
        """The person allowed or denied what is asked. Raises: InteractionError."""
        ...

    def abort(self, interaction: Interaction, error: str, description: str, *, request_id: str = "") -> Redirect:
        """The person leaves; the relying party hears `error`. Raises: InteractionError."""
        ...


class Clients(Protocol):
    """The registry of relying parties (`idp.clients`)."""

    def find(self, client_id: str) -> Client | None: ...


class Sessions(Protocol):
    """Login sessions (`idp.sessions`)."""

    def find(self, cookie_token: str | None) -> Session | None:
        """The live session of an untrusted cookie."""
        ...
