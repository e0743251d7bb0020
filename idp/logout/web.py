"""GET and POST /logout, and the person's own confirmation."""

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.kernel.rng import Rng, random_token
from ca_core.kernel.web.body import parse_form, read_body
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import FORM_FIELD, Csrf, verify_same_origin
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.responses import see_other
from ca_core.kernel.web.security import request_id_of
from idp.authn.view import return_sources
from idp.logout.model import ConfirmationNeeded, LoggedOut, LogoutCommand
from idp.logout.service import LogoutService

PATH = "/logout"
CONFIRM_PATH = "/logout/confirm"
_LIMIT = 32_768
_BROWSER_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def routes(
    service: LogoutService, *, cookies: CookieNames, csrf: Csrf, pages: Pages, hop: Hop, rng: Rng, origin: str
) -> list[Route]:
    """origin: of this provider's pages. Errors are raised, for the app's own handlers to show."""

    async def logout(request: Request) -> Response:
        browser_token = cookies.read(request, "browser")
        if request.method == "POST":
            fields = parse_form(await read_body(request, limit=_LIMIT))
            if browser_token is None:
                # Another site's post brings no SameSite=Lax cookies; the GET that it is turned into does.
                return see_other(f"{PATH}?{urlencode(fields)}")
        else:
            fields = parse_form(request.scope["query_string"])
        command = LogoutCommand.parse(fields)
        answer = await hop(service.begin, command, cookies.read(request, "session"), request_id=request_id_of(request))
        if isinstance(answer, LoggedOut):
            return _logged_out(request, answer)
        if browser_token is not None and _BROWSER_TOKEN.fullmatch(browser_token):
            return _confirmation(request, answer, csrf.token(browser_token))
        browser_token = random_token(rng)
        response = _confirmation(request, answer, csrf.token(browser_token))
        cookies.set_cookie(response, "browser", browser_token)
        return response

    async def confirm(request: Request) -> Response:
        fields = parse_form(await read_body(request, limit=_LIMIT))
        verify_same_origin(request, origin)
        csrf.verify(cookies.read(request, "browser"), fields.get(FORM_FIELD))
        command = LogoutCommand.parse(fields)
        answer = await hop(
            service.confirm, command, cookies.read(request, "session"), request_id=request_id_of(request)
        )
        return _logged_out(request, answer)

    def _logged_out(request: Request, answer: LoggedOut) -> Response:
        if answer.url is not None:
            response: Response = see_other(answer.url)
        else:
            t = pages.translator(request)
            response = pages.render(
                request,
                "message.html",
                kind="success",
                title=t("logout.done.title"),
                message=t("logout.done.message"),
                code="",
                actions=(),
            )
        cookies.clear_cookie(response, "session")
        return response

    def _confirmation(request: Request, needed: ConfirmationNeeded, csrf_token: str) -> Response:
        t = pages.translator(request)
        who = None if needed.client is None else needed.client.name.in_language(t.lang)
        form = {
            "id": "logout",
            "action": CONFIRM_PATH,
            "label": t("logout.confirm.button"),
            "fields": {**needed.fields, FORM_FIELD: csrf_token},
        }
        return pages.render(
            request,
            "message.html",
            form_action=() if needed.redirect_uri is None else return_sources(needed.redirect_uri),
            kind="info",
            title=t("logout.confirm.title"),
            message=t("logout.confirm.message") if who is None else t("logout.confirm.client", client=who),
            code="",
            actions=(),
            form=form,
        )

    return [
        Route(PATH, logout, methods=["GET", "POST"], name="logout"),
        Route(CONFIRM_PATH, confirm, methods=["POST"], name="logout-confirm"),
    ]
