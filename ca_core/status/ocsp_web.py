"""/pki/ocsp: POST and GET (RFC 6960 appendix A, RFC 5019 s5 and s6).

Plain ASGI, since it is asked more often than everything else here together: an answer from memory costs about as much
as any fixed octets would, and needs no thread. It sets no cookie, reads none, and may be framed into no page.
"""

import binascii
from base64 import b64decode
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256

from starlette.types import ASGIApp, Receive, Scope, Send

from ca_core.kernel.web.from_memory import FromMemory
from ca_core.kernel.web.hop import Hop
from ca_core.status.ocsp import OcspResponder
from ca_core.status.ocsp_answers import OcspAnswer

PATH = "/pki/ocsp"
MAX_GET_CHARACTERS = 1_024
_BELOW = f"{PATH}/"
_TYPE = (b"content-type", b"application/ocsp-response")
_Headers = tuple[tuple[bytes, bytes], ...]


class BodyRefused(Exception):
    """Larger than the bound, or ended by the client before its end."""


class OcspEndpoint:
    """An ASGI application for PATH and what is below it."""

    def __init__(self, ocsp: OcspResponder, hop: Hop) -> None:
        self._ocsp = ocsp
        self._hop = hop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, answer = 200, self._ocsp.malformed()
        try:
            if scope["method"] == "POST":
                octets = await _body(receive, self._ocsp.max_request_bytes)
            else:
                octets = parse_ocsp_path(scope["path"][len(PATH) + 1 :])
        except BodyRefused:
            status = 413
        except ValueError:  # a path that is no request: malformedRequest, as for any other octets
            pass
        else:
            answer = await self._answer(octets)
        headers, body = answer_headers(answer), answer.der
        if scope["method"] != "POST" and _is_known(scope, headers):
            status, headers, body = 304, headers[1:], b""
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, octets: bytes) -> OcspAnswer:
        try:
            remembered = self._ocsp.remembered(octets)
            return await self._hop(self._ocsp.respond, octets) if remembered is None else remembered
        except Exception as error:  # noqa: BLE001  (no thread to be had, say: heard as OCSP, too)
            return self._ocsp.failed(error)


class OcspFirst:
    """The whole application with OCSP answered before any of it: no routing, no request id, no page's headers.

    Those cost more than an answer does (figures: `citizenid bench ocsp`). Whatever is no POST or GET of OCSP goes on to
    the application, which has the same endpoint among its routes.

    from_memory: for `FromMemoryProtocol`, which asks it before it makes an ASGI request at all.
    """

    def __init__(self, app: ASGIApp, endpoint: OcspEndpoint, from_memory: FromMemory | None = None) -> None:
        self._app = app
        self._endpoint = endpoint
        self.from_memory = from_memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if (path == PATH and method == "POST") or (method == "GET" and path.startswith(_BELOW)):
                await self._endpoint(scope, receive, send)
                return
        await self._app(scope, receive, send)


def parse_ocsp_path(path: str) -> bytes:
    """The request's DER from a GET's path, after URL decoding; padding may be missing. Raises: ValueError."""
    if len(path) > MAX_GET_CHARACTERS:
        raise ValueError("too long")
    try:
        return b64decode(path.encode("ascii") + b"=" * (-len(path) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64") from error


async def _body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises: BodyRefused, before more than the limit and one more piece of it is kept."""
    octets: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyRefused
        octets += message.get("body", b"")
        if len(octets) > limit:
            raise BodyRefused
        if not message.get("more_body", False):
            return octets


@lru_cache(maxsize=8_192)
def answer_headers(answer: OcspAnswer) -> _Headers:
    """Content-Length first; the ETag, where there is one, last. An answer's identity is the key: it never changes."""
    length = (b"content-length", b"%d" % len(answer.der))
    if answer.this_update is None or answer.next_update is None or answer.cache_seconds is None:
        return (length, _TYPE, (b"cache-control", b"no-store"))
    return (
        length,
        _TYPE,
        (b"cache-control", f"public, max-age={answer.cache_seconds}, no-transform, must-revalidate".encode()),
        (b"last-modified", _http_date(answer.this_update)),
        (b"expires", _http_date(answer.next_update)),
        (b"etag", f'"{sha256(answer.der).hexdigest()[:32]}"'.encode()),
    )


def _is_known(scope: Scope, headers: _Headers) -> bool:
    """Whether the client has the answer already, by its If-None-Match."""
    name, tag = headers[-1]
    if name == b"etag":
        for header, value in scope["headers"]:
            if header == b"if-none-match":
                if any(candidate.strip().removeprefix(b"W/") in (tag, b"*") for candidate in value.split(b",")):
                    return True
    return False


def _http_date(moment: datetime) -> bytes:
    return format_datetime(moment, usegmt=True).encode("ascii")
