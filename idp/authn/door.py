"""From a request to an `Entry`: every page and call of an interaction comes in here."""

from starlette.requests import Request

from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import Csrf, verify_same_origin
from idp.authn.entry import Entry
from idp.authorize.errors import WrongBrowser


class Door:
    """Reads what binds a request to its interaction. origin: of this provider's pages."""

    def __init__(self, cookies: CookieNames, csrf: Csrf, origin: str) -> None:
        self._cookies = cookies
        self._csrf = csrf
        self._origin = origin

    def opened(self, request: Request) -> Entry:
        """The entry of a page that is only looked at. Raises: WrongBrowser, where there is no browser cookie."""
        browser_token = self._cookies.read(request, "browser")
        if browser_token is None:
            raise WrongBrowser("no browser cookie")
        return Entry(interaction_id=request.path_params["interaction_id"], browser_token=browser_token)

    def posted(self, request: Request, presented_csrf: str | None) -> Entry:
        """The entry of a request that changes something: made by our own page in this browser.

        presented_csrf: the form's `csrf_token` or the header `X-CSRF-Token`. Raises: WrongBrowser, CsrfRefused.
        """
        entry = self.opened(request)
        verify_same_origin(request, self._origin)
        self._csrf.verify(entry.browser_token, presented_csrf)
        return entry

    def csrf_token(self, entry: Entry) -> str:
        """The token for this browser's forms."""
        return self._csrf.token(entry.browser_token)
