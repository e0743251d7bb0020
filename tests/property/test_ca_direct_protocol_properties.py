"""Whatever requests arrive in whatever fragments: without ASGI the answers of uvicorn's own class, octet for octet."""

import logging
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from support.direct_wire import MAX_BODY, exchange_direct

_TARGETS = st.sampled_from(
    [
        b"/direct",
        b"/direct?a=%00&b",
        b"/direct?refuse",
        b"/direct?page",
        b"/posted",
        b"/other",
        b"/direct?a#b",
        b"/absent",
    ]
)
_HEADERS = st.lists(
    st.sampled_from(
        [
            b"Connection: keep-alive",
            b"Connection: close",
            b"If-None-Match: *",
            b"Expect: 100-continue",
            b"Cookie: a=b",
            b"X-Long: " + b"x" * 300,
            b"Connection: upgrade",
            b"Upgrade: websocket",
        ]
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def hop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hop]:
    log = logging.getLogger("uvicorn.error")
    level = log.level
    log.setLevel(logging.CRITICAL)
    database = Database.open(sqlite_url(tmp_path_factory.mktemp("hop") / "unused.db"))
    yield Hop(database)
    database.dispose()
    log.setLevel(level)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    lines = [b"%b %b HTTP/%b" % (method, draw(_TARGETS), version), b"Host: a", *draw(_HEADERS)]
    body = draw(st.sampled_from([b"", b"GET /direct HTTP/1.1\r\n\r\n", b"y" * MAX_BODY, b"z" * (MAX_BODY + 6)]))
    if method in (b"GET", b"HEAD"):
        body = b""
    if body and draw(st.booleans()):
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]) if part)
        return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunked + b"0\r\n\r\n"])
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


@settings(max_examples=200, deadline=None)
@given(asked=st.lists(requests(), min_size=1, max_size=4), cuts=st.lists(st.integers(0, 1_500), max_size=6))
def test_the_same_answers(hop: Hop, asked: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(asked)
    places = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    fragments = [octets[start:end] for start, end in pairwise(places)]
    theirs, _ = exchange_direct(BoundedHttpProtocol, fragments, hop)
    ours, _ = exchange_direct(DirectProtocol, fragments, hop)
    assert ours == theirs


@settings(max_examples=300, deadline=None)
@given(octets=st.lists(requests(), min_size=1, max_size=3), at=st.integers(0, 400), noise=st.binary(max_size=4))
def test_altered_requests_are_answered_or_refused_alike(hop: Hop, octets: list[bytes], at: int, noise: bytes) -> None:
    """Both learn of a request before any is answered, so that a refusal overtakes the same answers."""
    whole = b"".join(octets)
    altered = whole[:at] + noise + whole[at + len(noise) :]
    theirs, _ = exchange_direct(BoundedHttpProtocol, [altered], hop)
    ours, _ = exchange_direct(DirectProtocol, [altered], hop)
    assert ours == theirs
