"""A whole small request and a whole answer: what the endpoints behind `DirectRoute` are given, and what they give.

Starlette's objects for the same cost a login about as much as its statements do (docs/adr/0005).
"""

import json
from collections.abc import Mapping, Sequence

from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from ca_core.kernel.web.responses import NO_STORE

Header = tuple[bytes, bytes]
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_JSON = (b"content-type", b"application/json")
_NO_STORE: tuple[Header, ...] = tuple((name.lower().encode(), value.encode()) for name, value in NO_STORE.items())


class WholeRequest:
    """A request with its whole body. Untrusted, but for request_id.

    path: without its query, unescaped. headers: names in lower case, in their order.
    """

    __slots__ = ("_cookies", "body", "headers", "method", "path", "query", "request_id")

    def __init__(
        self, method: str, path: str, query: bytes, headers: Sequence[Header], *, body: bytes, request_id: str
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.request_id = request_id
        self._cookies: dict[str, str] | None = None

    def header(self, wanted: bytes) -> str | None:
        """The first of that name (in lower case)."""
        for name, value in self.headers:
            if name == wanted:
                return value.decode("latin-1")
        return None

    def every(self, wanted: bytes) -> list[str]:
        """All of that name (in lower case), in their order."""
        return [value.decode("latin-1") for name, value in self.headers if name == wanted]

    @property
    def cookies(self) -> Mapping[str, str]:
        """As Starlette reads them: of a name given twice the last stands."""
        if self._cookies is None:
            self._cookies = {}
            for line in self.every(b"cookie"):
                self._cookies.update(cookie_parser(line))
        return self._cookies

    def for_pages(self) -> Request:
        """The same as what pages are made for."""
        return Request(
            {
                "type": "http",
                "method": self.method,
                "path": self.path,
                "query_string": self.query,
                "headers": list(self.headers),
                "state": {"request_id": self.request_id},
            }
        )


class Answer:
    """A status, header fields with Content-Length among them, and the body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[Header], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @classmethod
    def of(cls, response: Response) -> "Answer":
        """A page, or whatever else Starlette made, as long as it is no stream."""
        return cls(response.status_code, list(response.raw_headers), bytes(response.body))

    @classmethod
    def json(cls, content: object) -> "Answer":
        """200, not to be stored."""
        body = _encode(content).encode("utf-8")
        return cls(200, [*_NO_STORE, (b"content-length", b"%d" % len(body)), _JSON], body)

    @classmethod
    def see_other(cls, url: str) -> "Answer":
        """303 to a URL of ours or of a relying party: the browser goes on with GET whatever the method was."""
        return cls(303, [(b"location", url.encode("latin-1")), *_NO_STORE, (b"content-length", b"0")], b"")
