"""What the login and consent pages show of an interaction."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from ca_core.kernel.web.messages import Language
from idp.authorize.model import AuthorizationRequest
from idp.clients.model import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingClient:
    """The relying party in the reader's language."""

    name: str
    purpose: str


def asking_client(client: Client, lang: Language) -> AskingClient:
    return AskingClient(name=client.name.in_language(lang), purpose=client.purpose.in_language(lang))


def shown_claims(request: AuthorizationRequest) -> tuple[str, ...]:
    """Every claim that the relying party will be told, the pairwise subject first."""
    return ("sub", *request.released_claims)


def return_sources(redirect_uri: str) -> tuple[str, ...]:
    """CSP sources that a form on our page may end at: the relying party, and where it may send the browser on.

    Chromium holds every redirect after a post to the page's form-action, and a broker sends the browser on to another
    host. So https in general is allowed, and of all else only the registered address itself.
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme == "https":
        return ("https:",)
    if parts.scheme != "http":
        return ("https:", f"{parts.scheme}:")
    if ":" in (parts.hostname or ""):
        return ("https:", "http:")  # CSP has no way to name an IPv6 address
    return ("https:", f"http://{parts.netloc}")
