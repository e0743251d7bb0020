"""Security headers and request ids: pure ASGI, because every request pays for them."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ca_core.kernel.rng import Rng

_INBOUND_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_HSTS = "max-age=63072000; includeSubDomains"
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_FEATURES = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)


def content_security_policy(*, connect: Iterable[str] = (), form_action: Iterable[str] = ()) -> str:
    """The policy of a page: everything from this origin, nothing inline, no framing.

    connect: further origins that its script may call (the card bridge). form_action: sources beside 'self' that its
    forms may end at, redirects included: Chromium holds each redirect after a post to this list.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "font-src 'self'",
            " ".join(("connect-src 'self'", *connect)),
            " ".join(("form-action 'self'", *form_action)),
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def request_id_of(request: Request) -> str:
    """The id that RequestId gave this request; empty where that middleware is not in front."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def new_request_id(rng: Rng) -> bytes:
    """20 characters of base64url."""
    return urlsafe_b64encode(rng(15))


class SecurityHeaders:
    """Adds what every answer carries. A page's own Content-Security-Policy stands; all else may load nothing."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        common = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
        }
        if https:
            common["strict-transport-security"] = _HSTS
        self._with_own_policy = tuple((name.encode(), value.encode()) for name, value in common.items())
        self._plain = (*self._with_own_policy, (b"content-security-policy", _NOTHING.encode()))
        self._lines_with_own_policy = b"".join(b"%b: %b\r\n" % header for header in self._with_own_policy)
        self._plain_lines = b"".join(b"%b: %b\r\n" % header for header in self._plain)

    def lines(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """What an answer with these headers gets beside them, as octets of its head."""
        return self._lines_with_own_policy if _has_policy(headers) else self._plain_lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                headers.extend(self._with_own_policy if _has_policy(headers) else self._plain)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _has_policy(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, _ in headers:
        if name == b"content-security-policy":
            return True
    return False


class RequestId:
    """Gives every request an id: `scope["state"]["request_id"]`, the answer's X-Request-Id, logs and audit.

    trust_inbound: take a well-formed X-Request-Id from in front of us. Only behind a proxy that sets it.
    """

    def __init__(self, app: ASGIApp, *, rng: Rng, trust_inbound: bool = False) -> None:
        self._app = app
        self._rng = rng
        self._trust_inbound = trust_inbound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wire = (self._inbound(scope) if self._trust_inbound else None) or new_request_id(self._rng)
        scope.setdefault("state", {})["request_id"] = wire.decode("ascii")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", wire))
            await send(message)

        await self._app(scope, receive, send_with_id)

    @staticmethod
    def _inbound(scope: Scope) -> bytes | None:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _INBOUND_ID.fullmatch(value):
                return bytes(value)
        return None
