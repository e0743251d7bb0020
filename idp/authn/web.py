"""The login page, and the way out of it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.kernel.web.body import parse_form, read_body
from ca_core.kernel.web.csrf import FORM_FIELD
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.responses import see_other
from ca_core.kernel.web.security import request_id_of
from idp.authn.door import Door
from idp.authn.entry import Entry
from idp.authn.ports import Clients, Interactions
from idp.authn.view import asking_client, return_sources, shown_claims
from idp.authorize.errors import InteractionNotFound
from idp.authorize.model import Interaction, InteractionState, Redirect
from idp.clients.model import Client

_FORM_LIMIT = 4_096
_GAVE_UP = "The citizen could not complete the login."
_CANCELLED = "The citizen cancelled the login."


def routes(
    interactions: Interactions, clients: Clients, *, door: Door, pages: Pages, hop: Hop, bridge_origin: str
) -> list[Route]:
    """bridge_origin: where the card bridge listens on the citizen's computer, e.g. http://127.0.0.1:61161."""

    def look_up(entry: Entry) -> tuple[Interaction, Client]:
        interaction = interactions.interaction(entry.interaction_id, entry.browser_token)
        client = clients.find(interaction.request.client_id)
        if client is None:
            raise InteractionNotFound("its client is gone")
        return interaction, client

    def leave(entry: Entry, description: str, request_id: str) -> Redirect:
        interaction = interactions.interaction(entry.interaction_id, entry.browser_token)
        return interactions.abort(interaction, "access_denied", description, request_id=request_id)

    async def login_page(request: Request) -> Response:
        entry = door.opened(request)
        interaction, client = await hop(look_up, entry)
        if interaction.state is not InteractionState.STARTED:
            return see_other(interaction.path)
        asked = interaction.request
        return pages.render(
            request,
            "interaction.html",
            ui_locales=asked.ui_locales,
            connect=(bridge_origin,),
            form_action=return_sources(asked.redirect_uri),
            client=asking_client(client, pages.language(request, ui_locales=asked.ui_locales)),
            claims=shown_claims(asked),
            interaction_path=interaction.path,
            bridge_origin=bridge_origin,
            csrf_token=door.csrf_token(entry),
        )

    async def cancel(request: Request) -> Response:
        form = parse_form(await read_body(request, limit=_FORM_LIMIT))
        entry = door.posted(request, form.get(FORM_FIELD))
        description = _GAVE_UP if form.get("reason") == "failed" else _CANCELLED
        return see_other((await hop(leave, entry, description, request_id_of(request))).url)

    return [
        Route("/interaction/{interaction_id}", login_page, methods=["GET"], name="interaction"),
        Route("/interaction/{interaction_id}/cancel", cancel, methods=["POST"], name="interaction-cancel"),
    ]
