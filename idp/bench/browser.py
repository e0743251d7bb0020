"""What a browser is to a login: cookies and redirects. No page is shown and no script runs."""

from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

from idp.bench.errors import BenchFailed
from idp.bench.http_client import Answer, Connection

REDIRECTS = frozenset({302, 303, 307})


class Browser:
    """One person at one server: a connection and the cookies it was given, by name and path."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._inside = f"{origin}/"
        self._connection = Connection(origin)
        self._cookies: dict[str, tuple[str, str]] = {}
        self._header: dict[str, str] = {}

    async def request(
        self, method: str, url: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Answer:
        """One request with the cookies that belong to it; `url` may be relative, and is never another server's."""
        target = self._target(url)
        cookie = self._cookie_header(target)
        sent = [*headers, ("Cookie", cookie)] if cookie else headers
        answer = await self._connection.request(method, target, headers=sent, body=body)
        for line in answer.cookies:
            self._keep(line)
        return answer

    async def follow(self, url: str, *, until: str, limit: int = 10) -> tuple[str, Answer | None]:
        """Follows redirects from `url`, to one that begins with `until` (then None) or to an answer that is none."""
        for _ in range(limit):
            answer = await self.request("GET", url)
            if answer.status not in REDIRECTS:
                return url, answer
            url = urljoin(url, answer.headers["location"])
            if url.startswith(until):
                return url, None
        raise BenchFailed(f"more than {limit} redirects, the last to {urlsplit(url).path}")

    def close(self) -> None:
        self._connection.close()

    def _target(self, url: str) -> str:
        if not url.startswith(self._inside):
            absolute = urljoin(self._inside, url)
            if not absolute.startswith(self._inside):
                raise BenchFailed(f"led away to {url[:80]}")
            url = absolute
        return url[len(self.origin) :]

    def _cookie_header(self, target: str) -> str:
        path = target.partition("?")[0]
        if path not in self._header:
            if len(self._header) > 64:
                self._header.clear()
            self._header[path] = "; ".join(
                f"{name}={value}" for name, (value, scope) in self._cookies.items() if path.startswith(scope)
            )
        return self._header[path]

    def _keep(self, line: str) -> None:
        pair, *attributes = line.split(";")
        name, _, value = pair.strip().partition("=")
        named = {key.strip().lower(): text for key, _, text in (part.partition("=") for part in attributes)}
        if not value.strip('"') or named.get("max-age") == "0" or "1970" in named.get("expires", ""):
            self._cookies.pop(name, None)
        else:
            self._cookies[name] = (value, named.get("path", "/"))
        self._header.clear()
