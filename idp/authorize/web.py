"""GET and POST /authorize."""

import re
from collections import Counter
from urllib.parse import urlencode

from starlette.routing import BaseRoute

from ca_core.kernel.rng import Rng, random_token
from ca_core.kernel.web import body
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.direct import DirectEndpoint, DirectRoute
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.whole import Answer, WholeRequest
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
    def authorize(request: WholeRequest) -> Answer:
        browser_token = cookies.read(request, "browser")
        octets = request.query
        if request.method == "POST":
            octets = request.body
            if browser_token is None:
                # Another site's post brings no SameSite=Lax cookies; the GET that it is turned into does.
                return Answer.see_other(f"{PATH}?{urlencode(parse_pairs(octets))}")
        is_new = browser_token is None or not _BROWSER_TOKEN.fullmatch(browser_token)
        browser = random_token(rng) if browser_token is None or is_new else browser_token
        session_token = cookies.read(request, "session")
        outcome = service.begin(parse_parameters(octets), session_token, browser, request_id=request.request_id)
        if isinstance(outcome, Redirect):
            return Answer.see_other(outcome.url)
        answer = Answer.see_other(outcome.path)
        if is_new:
            answer.headers.append((b"set-cookie", cookies.line("browser", browser).encode("ascii")))
        return answer

    def refuse(request: WholeRequest, error: Exception) -> Answer:
        if isinstance(error, RequestError):
            refused: OAuthError = UnreadableRequest(detail=error.detail)
        else:
            refused = incidents.as_oauth_error(error, request.request_id)
        return _error_page(request, refused, pages)

    endpoint = DirectEndpoint(authorize, refuse, hop=hop, max_body_bytes=_LIMIT)
    return [DirectRoute(PATH, endpoint, methods=["GET", "POST"], name="authorize")]


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
    if "\x00" in "".join([value for _, value in pairs]):
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


def _error_page(request: WholeRequest, error: OAuthError, pages: Pages) -> Answer:
    asked = request.for_pages()
    title, message = pages.translator(asked).error(error.code)
    page = pages.render(
        asked,
        "message.html",
        status=error.status,
        kind="error",
        title=title,
        message=message,
        code=error.code,
        actions=(),
    )
    return Answer.of(page)
