"""The endpoint: media type, bound, and an answer in the protocol whatever comes."""

from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.hop import Hop
from ca_core.timestamp.errors import TimestampRefused
from ca_core.timestamp.model import Failure, TimestampAnswer, TimestampSettings
from ca_core.timestamp.request import parse_timestamp_request
from ca_core.timestamp.structures import TimeStampResponse
from ca_core.timestamp.web import QUERY, REPLY, routes
from support.asgi import AsgiTransport


class Echo:
    max_request_bytes = 64

    def respond(self, request_der: bytes) -> TimestampAnswer:
        return TimestampAnswer(der=b"stamped:" + request_der)


@pytest.fixture
def client(tmp_path: Path) -> httpx2.Client:
    hop = Hop(Database.open(sqlite_url(tmp_path / "none.db")))
    app = Starlette(routes=routes(Echo(), hop))  # type: ignore[arg-type]  # what the handler needs of it
    return httpx2.Client(transport=AsgiTransport(app), base_url="https://va.example")


def test_a_query_is_answered(client: httpx2.Client) -> None:
    answer = client.post("/pki/tsa", content=b"query", headers={"Content-Type": QUERY})
    assert (answer.status_code, answer.content) == (200, b"stamped:query")
    assert answer.headers["content-type"] == REPLY
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [(b"x" * 65, QUERY, 413), (b"x", "text/plain", 415), (b"x", "", 415)],
)
def test_what_is_not_a_query_is_a_rejection(
    client: httpx2.Client, content: bytes, media_type: str, status: int
) -> None:
    answer = client.post("/pki/tsa", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status
    parsed = TimeStampResponse.load(answer.content, strict=True)
    assert parsed["status"]["status"].native == "rejection"


def test_get_is_not_allowed(client: httpx2.Client) -> None:
    assert client.get("/pki/tsa").status_code == 405


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    try:
        parse_timestamp_request(octets, TimestampSettings())
    except TimestampRefused as error:
        assert isinstance(error.failure, Failure)


WELL_FORMED = bytes.fromhex("303f0201013031300d060960864801650304020105000420" + "11" * 32 + "02043456789a0101ff")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WELL_FORMED) - 1), st.integers(0, 255))
def test_any_octet_of_a_query_may_change(at: int, value: int) -> None:
    octets = bytearray(WELL_FORMED)
    octets[at] = value
    try:
        parse_timestamp_request(bytes(octets), TimestampSettings())
    except TimestampRefused as error:
        assert isinstance(error.failure, Failure)
