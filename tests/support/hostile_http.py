"""Hostile HTTP: requests that no client of good will sends, and an ASGI driver that counts what an answer costs.

Cost is counted, not timed: the calls that the interpreter made, and the octets of a body that were taken.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Scope

Headers = Sequence[tuple[bytes, bytes]]
MAX_ANSWER_BYTES = 262_144
MAX_CALLS = 200_000
"""Of the interpreter, for one request: about 0.1 s of it. A login takes some 4,000."""
PIECE = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileRequest:
    """path: as it stands on the request line, escapes and all. body: in pieces; it may have no end."""

    method: str
    path: str
    query: bytes = b""
    headers: Headers = ()
    body: Iterable[bytes] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """taken: octets of the body that the application asked for. calls: what the interpreter made for it."""

    status: int
    headers: Headers
    body: bytes
    taken: int
    calls: int

    @cached_property
    def named(self) -> dict[str, str]:
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.headers}

    @property
    def media_type(self) -> str:
        return self.named.get("content-type", "").partition(";")[0]


class Server:
    """The application in an event loop of its own, its lifespan not run: nothing but requests happens."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def ask(self, request: HostileRequest) -> Answer:
        """The answer. An exception that leaves the application is what a server would turn into a 500: it is raised."""
        return self._runner.run(self._ask(request))

    async def _ask(self, request: HostileRequest) -> Answer:
        pieces, taken, sent, calls = iter(request.body), 0, list[Message](), 0
        following, is_over = next(pieces, None), False

        async def receive() -> Message:
            nonlocal following, is_over, taken
            if is_over:
                await asyncio.get_running_loop().create_future()  # the client stays, and says nothing more
            piece, following = following, next(pieces, None)
            is_over = following is None
            taken += len(piece or b"")
            return {"type": "http.request", "body": piece or b"", "more_body": following is not None}

        async def send(message: Message) -> None:
            sent.append(message)

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            await self._app(_scope(request), receive, send)
        finally:
            sys.setprofile(None)
        start = sent[0]
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(status=start["status"], headers=start["headers"], body=body, taken=taken, calls=calls)


def endless(piece: bytes = b"A" * PIECE) -> Iterator[bytes]:
    return itertools.repeat(piece)


def verify_bounded(answer: Answer, *, body_limit: int) -> None:
    """Never the server's own fault, nothing of its insides, no more of the body taken than its limit and one piece,
    and no more work or answer than any request may cost."""
    assert answer.status < 500, (answer.status, answer.body[:300])
    for leak in (b"Traceback", b'File "', b"sqlalchemy", b"psycopg", b"site-packages"):
        assert leak not in answer.body
    assert len(answer.body) <= MAX_ANSWER_BYTES
    assert answer.taken <= body_limit + PIECE
    assert answer.calls <= MAX_CALLS
    for name, value in answer.headers:
        assert not set(name + value) & set(b"\r\n\0"), (name, value)


def _scope(request: HostileRequest) -> Scope:
    """As uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode("ascii"),
        "query_string": request.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers],
        "client": ("192.0.2.1", 50_000),
        "server": ("127.0.0.1", 8_000),
        "state": {},
    }


# Strategies

_LATIN = st.binary(max_size=60).map(lambda octets: bytes(octet for octet in octets if octet not in b"\r\n\0"))
_LENGTHS = st.sampled_from([b"-1", b"0", b"abc", b"1e3", b"9" * 5_000, b"99999999", b"\xb2", b" 5", b"5, 5", b""])
_SEGMENTS = st.one_of(
    st.sampled_from(
        [
            *(
                "..",
                ".",
                "",
                "%00",
                "%2e%2e",
                "%2f",
                "%5c..",
                "%ff%fe",
                "%F0%9F%92%A9",
                "%ED%A0%80",
                "%",
                "%zz",
                "%0d%0a",
            ),
            *("a" * 3_000, "000", "x000", "-1", "0" * 400, "9" * 400, "citizen-g1", "tile", "%E7%8E%8B", "{slug}", "~"),
        ]
    ),
    st.text("abcxyz019-._~!$&'()*+,;=:@%", max_size=20),
)
_TAGS = st.sampled_from([b"*", b'W/"x"', b'"' * 3_000, b",," * 2_000, b"\xff\xfe"])


def headers() -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    """Broken, repeated and absurd headers."""
    named = st.one_of(
        st.tuples(st.just(b"content-length"), _LENGTHS),
        st.tuples(
            st.sampled_from([b"if-none-match", b"if-modified-since", b"range", b"accept"]), st.one_of(_TAGS, _LATIN)
        ),
        st.tuples(
            st.sampled_from([b"host", b"x-forwarded-host", b"forwarded"]),
            st.one_of(st.sampled_from([b"[", b"[::1", b"a@b:c", b"\xff", b"", b"x:99999999", b"//", b"a b"]), _LATIN),
        ),
        st.tuples(st.just(b"accept"), st.sampled_from([b"text/html", b"text/html;q=x," * 200, b"*/*"])),
        st.tuples(
            st.just(b"accept-language"),
            st.sampled_from([b"en;q=nan", b"zh;q=1e999", b"en," * 3_000, b";;;===", b"\xff\xfe", b"q;q;q"]),
        ),
        st.tuples(
            st.just(b"cookie"),
            st.one_of(st.sampled_from([b"=;=;" * 2_000, b'a="\\777\\"', b"citizenid-lang-8000=\xff"]), _LATIN),
        ),
        st.tuples(
            st.just(b"authorization"),
            st.one_of(
                st.sampled_from(
                    [
                        b"Basic",
                        b"Basic ====",
                        b"Basic JTAwOiUwMA==",
                        b"Basic " + b"A" * 4_000,
                        b"Bearer",
                        b"Bearer \xff",
                    ]
                ),
                st.sampled_from([b"Bearer " + b"a" * 4_000, b"Basic /////w==", b"Digest x", b"basic JWZmOiVmZg=="]),
                _LATIN,
            ),
        ),
        st.tuples(st.sampled_from([b"origin", b"sec-fetch-site", b"x-csrf-token", b"x-request-id", b"expect"]), _LATIN),
        st.tuples(_LATIN.filter(bool), _LATIN),
    )
    many = st.lists(named, max_size=6)
    crowd = st.integers(100, 400).map(lambda count: [(b"x-%d" % number, b"v" * 20) for number in range(count)])
    return st.one_of(many, crowd)


def queries() -> st.SearchStrategy[bytes]:
    """Repeated, endless, broken and non-ASCII query strings, and forms alike."""
    return st.one_of(
        st.sampled_from(
            [
                *(b"", b"&" * 10_000, b"a=1&a=2", b"=", b"%", b"%ff=%fe", b"\xff\xfe", b"a=%00", b"a" * 16_000),
                *(b"lang=\xe7\x8e", b"lang=%ff", b"ui_locales=" + b"en%20" * 3_000, b"a=" + b"%E7%8E%8B" * 1_500),
            ]
        ),
        st.binary(max_size=200),
        st.text("abc=&%+0f;", max_size=200).map(str.encode),
    )


def paths(*prefixes: str) -> st.SearchStrategy[str]:
    """A prefix, and odd segments below it."""
    below = st.lists(_SEGMENTS, max_size=5).map("/".join)
    return st.builds(lambda prefix, rest: prefix + rest, st.sampled_from(prefixes), below)


def methods() -> st.SearchStrategy[str]:
    return st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"])


def altered(seed: bytes) -> st.SearchStrategy[bytes]:
    """Truncated, changed, inflated and prolonged forms of good octets."""
    positions = st.integers(0, max(len(seed) - 1, 0))
    return st.one_of(
        positions.map(lambda cut: seed[:cut]),
        st.builds(
            lambda changes: bytes(dict(changes).get(place, octet) for place, octet in enumerate(seed)),
            st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4),
        ),
        positions.map(lambda at: seed[:at] + bytes([0x84, 0x7F, 0xFF, 0xFF, 0xFF]) + seed[at:]),
        st.binary(min_size=1, max_size=40).map(lambda more: seed + more),
    )


def der_bodies() -> st.SearchStrategy[bytes]:
    """Octets that are no DER worth the name: deep, huge, empty, of any kind."""
    nested = b""
    for _ in range(700):
        nested = b"\x30" + _length(len(nested)) + nested
    return st.one_of(
        st.sampled_from(
            [
                b"",
                b"\x30",
                b"\x30\x80" * 2_000,
                b"\x30\x84\xff\xff\xff\xff",
                b"\x00" * 8_192,
                nested,
                b"\x30\x82\x20\x00" * 2_000,
            ]
        ),
        st.binary(max_size=600),
    )


def json_bodies() -> st.SearchStrategy[bytes]:
    """Objects of any members, and texts that only look like JSON."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=30), st.floats(allow_nan=True))
    return st.one_of(
        st.sampled_from(
            [
                *(
                    b"[" * 1_000,
                    b'{"a":' * 500,
                    b'{"a":1,"a":2}',
                    b"1" * 1_000,
                    b"NaN",
                    b'{"a":NaN}',
                    b"\xff",
                    b'"\\ud800"',
                ),
                *(
                    b'{"auth_token":{"format":"\\ud800"}}',
                    b'{"code":"\\u0000"}',
                    b'{"x":"' + b"]" * 400 + b'","y":' + b"[" * 400,
                ),
            ]
        ),
        st.recursive(
            leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ).map(_json),
        st.binary(max_size=200),
    )


def _json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    import json

    return json.dumps(value).encode()


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets
