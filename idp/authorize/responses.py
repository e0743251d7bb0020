"""Authorization responses: the URL that takes the browser back to the relying party."""

from urllib.parse import quote

from idp.oauth.errors import OAuthError


class AuthorizationResponses:
    """Every answer, good or bad, carries `iss` (RFC 9207) and the request's `state`."""

    def __init__(self, issuer: str) -> None:
        self._iss = f"iss={quote(issuer, safe='')}"

    def code(self, redirect_uri: str, state: str | None, code: str) -> str:
        """The successful answer. code: characters of base64url, so nothing to escape.  Spec: RFC 6749 s4.1.2."""
        return self._url(redirect_uri, f"code={code}", state)

    def error(self, redirect_uri: str, state: str | None, error: OAuthError) -> str:
        """The refusal.  Spec: RFC 6749 s4.1.2.1."""
        return self.error_named(redirect_uri, state, error.error, error.description)

    def error_named(self, redirect_uri: str, state: str | None, error: str, description: str) -> str:
        answer = f"error={quote(error, safe='')}"
        if description:
            answer += f"&error_description={quote(description, safe='')}"
        return self._url(redirect_uri, answer, state)

    def _url(self, redirect_uri: str, answer: str, state: str | None) -> str:
        separator = "&" if "?" in redirect_uri else "?"
        echoed = "" if state is None else f"&state={quote(state, safe='')}"
        return f"{redirect_uri}{separator}{answer}{echoed}&{self._iss}"
