"""Whatever requests arrive in whatever fragments: the answers of uvicorn's own class, octet for octet."""

import logging
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ca_core.kernel.web.from_memory import FromMemoryProtocol
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from support.http_wire import MAX_BODY, exchange

_TARGETS = st.sampled_from([b"/memory", b"/memory/a%2B", b"/memory/absent", b"/memory?q", b"/memory/broken", b"/other"])
_HEADERS = st.lists(
    st.sampled_from(
        [
            b"Connection: keep-alive",
            b"Connection: close",
            b"If-None-Match: *",
            b"Expect: 100-continue",
            b"X-Long: " + b"x" * 300,
            b"Connection: upgrade",
        ]
    ),
    max_size=2,
)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    log = logging.getLogger("uvicorn.error")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    lines = [b"%b %b HTTP/%b" % (method, draw(_TARGETS), version), b"Host: a", *draw(_HEADERS)]
    body = draw(st.sampled_from([b"", b"GET /memory HTTP/1.1\r\n\r\n", b"absent", b"y" * MAX_BODY, b"z" * 70]))
    if method in (b"GET", b"HEAD"):
        body = b""
    if body and draw(st.booleans()):
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]) if part)
        return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunked + b"0\r\n\r\n"])
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


@st.composite
def for_memory(draw: st.DrawFn) -> bytes:
    """One that memory answers; of the same head there may be several bodies."""
    if draw(st.booleans()):
        return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % draw(st.sampled_from([b"/memory", b"/memory/a%2B"]))
    body = draw(st.sampled_from([b"octets", b"others", b"absent", b"\r\n\r\n\r\n"]))
    return b"POST /memory HTTP/1.1\r\nContent-Length: 6\r\n\r\n" + body


@settings(max_examples=200, deadline=None)
@given(asked=st.lists(requests(), min_size=1, max_size=4), cuts=st.lists(st.integers(0, 1_500), max_size=6))
def test_the_same_answers(asked: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(asked)
    places = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    fragments = [octets[start:end] for start, end in pairwise(places)]
    theirs, _ = exchange(BoundedHttpProtocol, fragments)
    ours, _ = exchange(FromMemoryProtocol, fragments)
    assert ours == theirs


@settings(max_examples=300, deadline=None)
@given(
    asked=st.lists(for_memory() | for_memory() | requests(), min_size=1, max_size=3),
    pieces=st.lists(
        st.tuples(
            st.integers(0, 2), st.none() | st.integers(0, 400), st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n"])
        ),
        min_size=2,
        max_size=8,
    ),
)
def test_the_same_answers_to_heads_that_are_known(
    asked: list[bytes], pieces: list[tuple[int, int | None, bytes]]
) -> None:
    """The same requests again and again: whole, cut somewhere, or with empty lines behind."""
    fragments = []
    for place, cut, behind in pieces:
        request = asked[place % len(asked)] + behind
        fragments += [request] if cut is None else [request[:cut], request[cut:]]
    theirs, _ = exchange(BoundedHttpProtocol, fragments)
    ours, app = exchange(FromMemoryProtocol, fragments)
    assert ours == theirs
    event(f"{min(app.by_memory, 3)} from memory")


@settings(max_examples=200, deadline=None)
@given(octets=st.lists(requests(), min_size=1, max_size=3), at=st.integers(0, 400), noise=st.binary(max_size=4))
def test_altered_requests_are_answered_or_refused_as_often(octets: list[bytes], at: int, noise: bytes) -> None:
    """A refusal may overtake answers of uvicorn's own class, so what is compared is what ours answers before it."""
    whole = b"".join(octets)
    altered = whole[:at] + noise + whole[at + len(noise) :]
    theirs, _ = exchange(BoundedHttpProtocol, [altered])
    ours, _ = exchange(FromMemoryProtocol, [altered])
    assert ours.is_closed == theirs.is_closed
    refused = ours.octets.count(b"HTTP/1.1 400 Bad Request")
    assert refused == theirs.octets.count(b"HTTP/1.1 400 Bad Request")
    if not refused:
        assert ours == theirs
