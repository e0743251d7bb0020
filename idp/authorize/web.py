"""GET and POST /authorize."""

import re
from collections import Counter
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ca_core.kernel.rng import Rng, random_token
from ca_core.kernel.web import body
from ca_core.kernel.web.body import read_body
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.direct import DirectRoute
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.responses import see_other
from ca_core.kernel.web.security import request_id_of
from idp.authorize.checks import UnverifiedParameters
from idp.authorize.model import Redirect
from idp.authorize.service import AuthorizeService
from idp.oauth.errors import OAuthError, UnreadableRequest
from idp.oauth.incidents import Incidents

PATH = "/authorize"
_LIMIT = 16_384
_BROWSER_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def routes(
    service: AuthorizeService, *, cookies: CookieNames, pages: Pages, hop: Hop, rng: Rng, incidents: Incidents
) -> list[BaseRoute]:
    async def authorize(request: Request) -> Response:
        browser_token = cookies.read(request, "browser")
        if request.method == "POST":
            octets = await read_body(request, limit=_LIMIT)
            if browser_token is None:
                # Another site's post brings no SameSite=Lax cookies; the GET that it is turned into does.
                return see_other(f"{PATH}?{urlencode(parse_pairs(octets))}")
        else:
            octets = request.scope["query_string"]
        is_new = browser_token is None or not _BROWSER_TOKEN.fullmatch(browser_token)
        browser = random_token(rng) if browser_token is None or is_new else browser_token
        session_token = cookies.read(request, "session")
        parameters = parse_parameters(octets)
        answer = await hop(service.begin, parameters, session_token, browser, request_id=request_id_of(request))
        if isinstance(answer, Redirect):
            return see_other(answer.url)
        response = see_other(answer.path)
        if is_new:
            cookies.set_cookie(response, "browser", browser)
        return response

    async def guarded(request: Request) -> Response:
        try:
            return await authorize(request)
        except RequestError as refused:
            error: OAuthError = UnreadableRequest(detail=refused.detail)
        except Exception as unexpected:  # noqa: BLE001  the surface's last line: logged whole, shown as an event id
            error = incidents.as_oauth_error(unexpected, request_id_of(request))
        return _error_page(request, error, pages)

    return [DirectRoute(PATH, guarded, methods=["GET", "POST"], name="authorize")]


def parse_pairs(octets: bytes) -> list[tuple[str, str]]:
    """Name and value pairs of an untrusted query or form, those without a value left out (RFC 6749 s3.1).

    Raises: UnreadableRequest.
    """
    if len(octets) > _LIMIT:
        raise UnreadableRequest(detail="too long")
    try:
        pairs = [(name, value) for name, value in body.parse_pairs(octets, strict=False) if value]
    except ValueError as error:
        raise UnreadableRequest(detail="not a form") from error
    if any("\x00" in value for _, value in pairs):
        raise UnreadableRequest(detail="a NUL character")
    return pairs


def parse_parameters(octets: bytes) -> UnverifiedParameters:
    """The parameters of an untrusted authorization request. A repeat is for the checks to refuse: where the answer
    may go is known only then. Raises: UnreadableRequest."""
    pairs = parse_pairs(octets)
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return UnverifiedParameters(fields)
    counts = Counter(name for name, _ in pairs)
    return UnverifiedParameters(fields, frozenset(name for name, count in counts.items() if count > 1))


def _error_page(request: Request, error: OAuthError, pages: Pages) -> Response:
    title, message = pages.translator(request).error(error.code)
    return pages.render(
        request,
        "message.html",
        status=error.status,
        kind="error",
        title=title,
        message=message,
        code=error.code,
        actions=(),
    )
