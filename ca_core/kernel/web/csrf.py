"""Requests that change something come from our own pages, opened in the same browser."""

import hmac
from base64 import urlsafe_b64encode

from starlette.requests import Request

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.web.errors import RequestError

FORM_FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
_SAME_SITE = frozenset({"same-origin", "none"})


class CsrfRefused(RequestError):
    """No CSRF token, one of another browser, or a request that another site made."""

    code = "csrf_refused"
    status = 403


class Csrf:
    """CSRF tokens: an HMAC over the browser's own secret cookie, so that nothing needs storing."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ConfigurationError("the CSRF secret needs 32 octets or more")
        self._secret = secret

    def token(self, browser_token: str) -> str:
        """43 characters of base64url, the same for one browser token whenever asked."""
        mac = hmac.digest(self._secret, b"csrf\x00" + browser_token.encode("utf-8"), "sha256")
        return urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")

    def verify(self, browser_token: str | None, presented: str | None) -> None:
        """Accept iff `presented` is this browser's token, in constant time. Raises: CsrfRefused."""
        if not browser_token or not presented:
            raise CsrfRefused("no browser cookie" if not browser_token else "no token")
        if not hmac.compare_digest(self.token(browser_token).encode(), presented.encode("utf-8")):
            raise CsrfRefused("another browser's token")


def verify_same_origin(request: Request, origin: str) -> None:
    """Accept iff what the browser says about where the request was made does not contradict our own origin.

    A form on a page with `Referrer-Policy: no-referrer` posts `Origin: null`; then Fetch Metadata decides, and for
    browsers without it the CSRF token alone. A request that says nothing (no browser) rests on the token as well.
    Raises: CsrfRefused.  Spec: Fetch s3.2 (the Origin header), Fetch Metadata s2.2.
    """
    presented = request.headers.get("origin")
    if presented is not None and presented not in (origin, "null"):
        raise CsrfRefused("another origin")
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _SAME_SITE:
        raise CsrfRefused("another site, by Fetch Metadata")
