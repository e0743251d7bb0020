"""The consent page: what the relying party will be told, allowed or denied."""

from pathlib import Path
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.kernel.web.body import parse_form, read_body
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import FORM_FIELD
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.responses import see_other
from ca_core.kernel.web.security import request_id_of
from idp.authn.door import Door
from idp.authn.entry import Entry
from idp.authn.ports import Clients, Interactions, Sessions
from idp.authn.view import asking_client, return_sources, shown_claims
from idp.authorize.errors import InteractionNotFound, WrongSession
from idp.authorize.model import Interaction, InteractionState, Redirect
from idp.clients.model import Client
from idp.sessions.model import Session

TEMPLATES = Path(__file__).parent / "templates"
_FORM_LIMIT = 4_096
_DECISIONS = {"allow": True, "deny": False}


class InvalidDecision(RequestError):
    """Neither allow nor deny."""

    code: ClassVar[str] = "invalid_decision"


def routes(
    interactions: Interactions,
    clients: Clients,
    sessions: Sessions,
    *,
    door: Door,
    pages: Pages,
    cookies: CookieNames,
    hop: Hop,
) -> list[Route]:
    def logged_in(entry: Entry, cookie_token: str | None) -> tuple[Interaction, Session | None]:
        interaction = interactions.interaction(entry.interaction_id, entry.browser_token)
        if interaction.state is InteractionState.STARTED:
            return interaction, None
        session = sessions.find(cookie_token)
        if session is None or session.id != interaction.session_id:
            raise WrongSession
        return interaction, session

    def look_up(entry: Entry, cookie_token: str | None) -> tuple[Interaction, Session | None, Client]:
        interaction, session = logged_in(entry, cookie_token)
        client = clients.find(interaction.request.client_id)
        if client is None:
            raise InteractionNotFound("its client is gone")
        return interaction, session, client

    def decide(entry: Entry, cookie_token: str | None, allow: bool, request_id: str) -> Redirect | Interaction:
        interaction, session = logged_in(entry, cookie_token)
        return (
            interaction if session is None else interactions.decide(interaction, session, allow, request_id=request_id)
        )

    async def consent_page(request: Request) -> Response:
        entry = door.opened(request)
        interaction, session, client = await hop(look_up, entry, cookies.read(request, "session"))
        if session is None:
            return see_other(interaction.path)
        asked = interaction.request
        return pages.render(
            request,
            "consent.html",
            ui_locales=asked.ui_locales,
            form_action=return_sources(asked.redirect_uri),
            client=asking_client(client, pages.language(request, ui_locales=asked.ui_locales)),
            claims=shown_claims(asked),
            action=interaction.path,
            csrf_token=door.csrf_token(entry),
        )

    async def consent(request: Request) -> Response:
        form = parse_form(await read_body(request, limit=_FORM_LIMIT))
        entry = door.posted(request, form.get(FORM_FIELD))
        allow = _DECISIONS.get(form.get("decision", ""))
        if allow is None:
            raise InvalidDecision
        outcome = await hop(decide, entry, cookies.read(request, "session"), allow, request_id_of(request))
        return see_other(outcome.url if isinstance(outcome, Redirect) else outcome.path)

    path = "/interaction/{interaction_id}/consent"
    return [
        Route(path, consent_page, methods=["GET"], name="consent-page"),
        Route(path, consent, methods=["POST"], name="consent"),
    ]
