"""A whole request reads as Starlette's does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from ca_core.kernel.web.security import SecurityHeaders
from ca_core.kernel.web.whole import WholeRequest

_LINES = st.lists(st.text(alphabet='ab=;" \\_-%é', max_size=20).map(lambda text: text.encode("latin-1")), max_size=3)


def whole(*headers: tuple[bytes, bytes], query: bytes = b"") -> WholeRequest:
    return WholeRequest("GET", "/a", query, headers, body=b"", request_id="id")


def starlettes(*headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": list(headers)})


@given(_LINES)
def test_cookies(lines: list[bytes]) -> None:
    headers = [(b"cookie", line) for line in lines]
    assert whole(*headers).cookies == starlettes(*headers).cookies


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.binary(max_size=4)), max_size=4))
def test_headers(headers: list[tuple[bytes, bytes]]) -> None:
    asked, theirs = whole(*headers), starlettes(*headers)
    for name in (b"a", b"b", b"c"):
        assert asked.header(name) == theirs.headers.get(name.decode())
        assert asked.every(name) == theirs.headers.getlist(name.decode())


def test_for_pages_it_is_the_same_request() -> None:
    page = whole((b"accept-language", b"en"), query=b"lang=en&a=%C3%A9").for_pages()
    assert (page.method, page.url.path, dict(page.query_params)) == ("GET", "/a", {"lang": "en", "a": "é"})
    assert page.headers["accept-language"] == "en"
    assert page.scope["state"]["request_id"] == "id"


@pytest.mark.parametrize("own", [[], [(b"content-security-policy", b"default-src 'self'")]])
def test_security_headers_as_octets_are_those_of_the_middleware(own: list[tuple[bytes, bytes]]) -> None:
    security = SecurityHeaders(_nothing, https=True)
    lines = security.lines(own).split(b"\r\n")
    assert lines.pop() == b""
    names = [line.partition(b": ")[0] for line in lines]
    assert len(names) == len(set(names)) >= 6
    assert (b"content-security-policy" in names) == (not own)


async def _nothing(*_: object) -> None:
    raise AssertionError("not called")
