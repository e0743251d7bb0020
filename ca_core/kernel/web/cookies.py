"""Cookies of ours: host-only, out of reach for scripts, not sent on other sites' posts."""

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from starlette.responses import Response

from ca_core.kernel.errors import ConfigurationError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VALUE = re.compile(r"[A-Za-z0-9._~+/=-]{0,1024}")
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"


class WithCookies(Protocol):
    """A request of Starlette's, or a whole one."""

    @property
    def cookies(self) -> Mapping[str, str]: ...


class CookieNames:
    """The names of this issuer's cookies, and the only way to set and read them.

    On https a name starts with `__Host-`, so that no other host and no plain http can set it. On http://localhost,
    where browsers refuse that prefix but take `Secure`, it ends in the port, so that two demos do not meet.
    Bases in use: `browser` (what interactions are bound to), `session` (the login session), `lang`.
    """

    def __init__(self, issuer: str) -> None:
        parts = urlsplit(issuer)
        if parts.scheme == "https" and parts.hostname:
            self._prefix, self._suffix = "__Host-citizenid-", ""
        elif parts.scheme == "http" and parts.hostname in _LOOPBACK:
            self._prefix, self._suffix = "citizenid-", f"-{parts.port or 80}"
        else:
            raise ConfigurationError("the issuer must be https, or http on localhost")
        self._names: dict[str, str] = {}

    def name(self, base: str) -> str:
        found = self._names.get(base)
        if found is None:
            found = self._names[base] = f"{self._prefix}{base}{self._suffix}"
        return found

    def read(self, request: WithCookies, base: str) -> str | None:
        """The cookie's untrusted value; None where there is none or it is not of our making."""
        value = request.cookies.get(self.name(base))
        return value if value and _VALUE.fullmatch(value) else None

    def set_cookie(self, response: Response, base: str, value: str, max_age_s: int | None = None) -> None:
        """Without max_age_s the cookie ends with the browser. value: letters, digits and `._~+/=-` only."""
        response.headers.append("set-cookie", self.line(base, value, max_age_s))

    def line(self, base: str, value: str, max_age_s: int | None = None) -> str:
        """The Set-Cookie header's value, for the same."""
        if not _VALUE.fullmatch(value):
            raise ValueError("not a cookie value of ours")
        age = "" if max_age_s is None else f"; Max-Age={max_age_s}"
        return f"{self.name(base)}={value}; {_ATTRIBUTES}{age}"

    def clear_cookie(self, response: Response, base: str) -> None:
        response.headers.append("set-cookie", f"{self.name(base)}=; {_ATTRIBUTES}; Max-Age=0")
