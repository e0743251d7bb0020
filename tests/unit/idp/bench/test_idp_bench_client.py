"""The bench's client: answers, cookies, redirects. No sockets: a fake connection answers."""

import asyncio
from collections.abc import Iterable

import pytest

from idp.bench import browser as browser_module
from idp.bench.browser import Browser
from idp.bench.errors import BenchFailed
from idp.bench.http_client import Answer, Connection, _read_body

ORIGIN = "http://localhost:8000"


class FakeConnection:
    """Answers from a script, and remembers what was asked."""

    script: list[Answer]
    asked: list[tuple[str, str, dict[str, str]]]

    def __init__(self, origin: str) -> None:
        assert origin == ORIGIN

    async def request(
        self, method: str, target: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Answer:
        self.asked.append((method, target, dict(headers)))
        return self.script.pop(0)


def answer(status: int = 200, *cookies: str, **headers: str) -> Answer:
    return Answer(status=status, headers=headers, cookies=cookies, body=b"")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeConnection]:
    FakeConnection.script, FakeConnection.asked = [], []
    monkeypatch.setattr(browser_module, "Connection", FakeConnection)
    return FakeConnection


def test_cookies_go_where_their_path_says_and_end_when_told(fake: type[FakeConnection]) -> None:
    fake.script += [
        answer(200, "all=1; Path=/; HttpOnly", "some=2; path=/interaction/7"),
        answer(200, "all=; Path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        answer(),
        answer(),
    ]

    async def visit() -> None:
        person = Browser(ORIGIN)
        for path in ("/authorize", "/interaction/7", "/interaction/7", "/token"):
            await person.request("GET", f"{ORIGIN}{path}")

    asyncio.run(visit())
    sent = [headers.get("Cookie") for _, _, headers in fake.asked]
    assert sent == [None, "all=1; some=2", "some=2", None]


def test_redirects_are_followed_to_the_relying_party_and_never_asked_there(fake: type[FakeConnection]) -> None:
    fake.script += [answer(303, location="/interaction/7"), answer(303, location="https://rp.example/cb?code=c")]
    url, page = asyncio.run(Browser(ORIGIN).follow(f"{ORIGIN}/authorize?x=1", until="https://rp.example/cb"))
    assert (url, page) == ("https://rp.example/cb?code=c", None)
    assert [target for _, target, _ in fake.asked] == ["/authorize?x=1", "/interaction/7"]


@pytest.mark.parametrize("location", ["https://elsewhere.example/", "//elsewhere.example/"])
def test_another_server_is_never_asked(fake: type[FakeConnection], location: str) -> None:
    fake.script.append(answer(303, location=location))
    with pytest.raises(BenchFailed, match="led away"):
        asyncio.run(Browser(ORIGIN).follow("/authorize", until="https://rp.example/cb"))


def test_redirects_end(fake: type[FakeConnection]) -> None:
    fake.script += [answer(303, location="/again")] * 10
    with pytest.raises(BenchFailed, match="redirects"):
        asyncio.run(Browser(ORIGIN).follow("/again", until="https://rp.example/cb"))


@pytest.mark.parametrize("origin", ["https://localhost:1", "http://localhost", "localhost:8000"])
def test_only_a_loopback_http_origin_with_a_port(origin: str) -> None:
    with pytest.raises(BenchFailed):
        Connection(origin)


@pytest.mark.parametrize(
    ("headers", "octets", "body"),
    [
        ({"content-length": "5"}, b"hello more", b"hello"),
        ({}, b"", b""),
        ({"transfer-encoding": "chunked"}, b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", b"hello world"),
    ],
)
def test_bodies_by_length_and_in_chunks(headers: dict[str, str], octets: bytes, body: bytes) -> None:
    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(octets)
        reader.feed_eof()
        return await _read_body(reader, headers)

    assert asyncio.run(read()) == body


def test_a_truncated_body_is_no_body() -> None:
    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(b"hel")
        reader.feed_eof()
        return await _read_body(reader, {"content-length": "5"})

    with pytest.raises(asyncio.IncompleteReadError):
        asyncio.run(read())
