"""The sample relying party's pages: a login button, the verified claims, logout."""

import json
from collections import OrderedDict
from pathlib import Path

import httpx2
from authlib.integrations.base_client import OAuthError
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ca_core.kernel.rng import Rng, random_token
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.body import parse_form
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.security import RequestId, SecurityHeaders
from idp.demo.relying_party.client import LoginFailed, RelyingParty, Visitor

_FOLDER = Path(__file__).parent
_MAX_VISITORS = 1_000
_COOKIE = "visitor"


class Visitors:
    """Who is logged in here, by cookie; the oldest goes when there are too many."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def enter(self, visitor: Visitor) -> str:
        token = random_token(self._rng)
        self._visitors[token] = visitor
        while len(self._visitors) > _MAX_VISITORS:
            self._visitors.popitem(last=False)
        return token

    def find(self, token: str | None) -> Visitor | None:
        return self._visitors.get(token) if token else None

    def leave(self, token: str | None) -> Visitor | None:
        return self._visitors.pop(token, None) if token else None


def relying_party_app(relying_party: RelyingParty, *, origin: str, rng: Rng) -> RequestId:
    """The whole application, for `origin`."""
    cookies = CookieNames(origin)
    assets = Assets([OWN_STATIC])
    pages = Pages(
        Catalogues.load([OWN_MESSAGES, _FOLDER / "messages"]), [_FOLDER / "templates"], assets=assets, cookies=cookies
    )
    visitors = Visitors(rng)
    form_action = (relying_party.registration.issuer,)

    async def home(request: Request) -> Response:
        visitor = visitors.find(cookies.read(request, _COOKIE))
        if visitor is None:
            return pages.render(request, "relying_party_home.html", form_action=form_action)
        claims = [(name, _shown(value)) for name, value in visitor.id_token_claims.items()]
        userinfo = [(name, _shown(value)) for name, value in visitor.userinfo.items()]
        return pages.render(
            request, "relying_party_citizen.html", form_action=form_action, claims=claims, userinfo=userinfo
        )

    async def login(request: Request) -> Response:
        try:
            return RedirectResponse(await relying_party.authorization_url(pages.language(request)), status_code=303)
        except (LoginFailed, httpx2.HTTPError) as error:
            return _refused(request, type(error).__name__)

    async def callback(request: Request) -> Response:
        try:
            visitor = await relying_party.complete(parse_form(request.scope["query_string"]))
        except LoginFailed as error:
            return _refused(request, error.detail)
        except (OAuthError, JoseError, httpx2.HTTPError) as error:
            return _refused(request, type(error).__name__)
        response = RedirectResponse("/", status_code=303)
        cookies.set_cookie(response, _COOKIE, visitors.enter(visitor))
        return response

    def _refused(request: Request, reason: str) -> Response:
        known = "declined" if reason == "access_denied" else "failed"
        t = pages.translator(request)
        return pages.render(
            request,
            "message.html",
            status=400,
            kind="error",
            title=t(f"rp.{known}.title"),
            message=t(f"rp.{known}.message"),
            code=reason,
            actions=(("/", t("rp.back")),),
        )

    async def logout(request: Request) -> Response:
        visitor = visitors.leave(cookies.read(request, _COOKIE))
        response = RedirectResponse("/" if visitor is None else await relying_party.end_session_url(visitor), 303)
        cookies.clear_cookie(response, _COOKIE)
        return response

    routes = [
        Route("/", home, methods=["GET"]),
        Route("/login", login, methods=["POST"]),
        Route("/callback", callback, methods=["GET"]),
        Route("/logout", logout, methods=["POST"]),
        *assets.routes(),
    ]
    app = Starlette(routes=routes, exception_handlers=Failures(pages).handlers())
    return RequestId(SecurityHeaders(app, https=origin.startswith("https:")), rng=rng)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
