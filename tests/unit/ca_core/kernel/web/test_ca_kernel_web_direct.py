"""Direct routes: straight to the handler; everything else is the app's."""

from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.errors import Unavailable
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.body import parse_pairs
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.direct import DirectEndpoint, DirectRoute, DirectRoutes
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.responses import NO_STORE, see_other
from ca_core.kernel.web.security import RequestId
from ca_core.kernel.web.whole import Answer, WholeRequest


def direct(request: WholeRequest) -> Answer:
    """Says what it was asked; refuses what is named so."""
    if b"refuse" in request.query:
        raise Unavailable("away")
    told = f"{request.method} {request.path} {request.query.decode()} {request.body.decode()} {request.request_id}"
    return Answer(200, [(b"content-length", b"%d" % len(told))], told.encode())


def refuse(request: WholeRequest, error: Exception) -> Answer:
    name = type(error).__name__.encode()
    return Answer(400, [(b"content-length", b"%d" % len(name))], name)


async def other(request: Request) -> Response:
    return PlainTextResponse("other")


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    hop = Hop(Database.open(sqlite_url(tmp_path / "unused.db")))
    endpoint = DirectEndpoint(direct, refuse, hop=hop, max_body_bytes=10)
    routes = [DirectRoute("/fast", endpoint, methods=["GET", "POST"], name="fast"), Route("/slow", other)]
    return TestClient(RequestId(DirectRoutes(Starlette(routes=routes), routes), rng=bytes))


def test_a_direct_route_answers_a_whole_request(client: TestClient) -> None:
    assert client.get("/fast?a=b").text == f"GET /fast a=b  {'A' * 20}"
    assert client.post("/fast", content=b"0123456789").text == f"POST /fast  0123456789 {'A' * 20}"


def test_what_it_raises_is_its_own_to_refuse(client: TestClient) -> None:
    assert (client.get("/fast?refuse").status_code, client.get("/fast?refuse").text) == (400, "Unavailable")
    assert client.post("/fast", content=b"01234567890").text == "BodyTooLarge"


def test_by_the_router_it_is_the_same(client: TestClient, tmp_path: Path) -> None:
    hop = Hop(Database.open(sqlite_url(tmp_path / "unused.db")))
    endpoint = DirectEndpoint(direct, refuse, hop=hop, max_body_bytes=10)
    app = Starlette(routes=[DirectRoute("/fast", endpoint, methods=["GET", "POST"], name="fast")])
    routed = TestClient(RequestId(app, rng=bytes))
    for query in ("", "?a=b", "?refuse"):
        assert routed.get(f"/fast{query}").text == client.get(f"/fast{query}").text
    assert routed.put("/fast").status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/slow", 200), ("PUT", "/fast", 405), ("GET", "/", 404)]
)
def test_all_else_is_the_apps(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


def test_json_is_what_starlette_would_write() -> None:
    content = {"name": "王小明", "n": [1, True]}
    starlettes = JSONResponse(content, headers=NO_STORE)
    assert Answer.json(content).body == starlettes.body
    assert Answer.json(content).headers == starlettes.raw_headers


def test_a_redirect_is_what_starlette_would_write() -> None:
    starlettes = see_other("https://a.example/?b=%20")
    ours = Answer.see_other("https://a.example/?b=%20")
    assert (ours.status, ours.headers, ours.body) == (303, starlettes.raw_headers, starlettes.body)


@given(st.text(alphabet="ab=&+%0ACEé中", max_size=60), st.booleans())
def test_pairs_are_those_of_the_standard_library(text: str, strict: bool) -> None:
    octets = text.encode("ascii", "ignore")
    if not octets:
        assert parse_pairs(octets, strict=strict) == []
        return
    try:
        expected: object = parse_qsl(
            octets.decode(), keep_blank_values=True, strict_parsing=strict, encoding="utf-8", errors="strict"
        )
    except ValueError:
        expected = ValueError
    try:
        found: object = parse_pairs(octets, strict=strict)
    except ValueError:
        found = ValueError
    if not strict and isinstance(found, list):
        found = [pair for pair in found if pair != ("", "")]  # an empty part names nothing
        expected = [pair for pair in expected if pair != ("", "")] if isinstance(expected, list) else expected
    assert found == expected


def test_more_fields_than_allowed() -> None:
    with pytest.raises(ValueError, match="too many"):
        parse_pairs(b"&".join([b"a=b"] * 65))


def test_what_is_refused_is_logged_with_its_code_detail_and_request() -> None:
    async def refuse(request: Request) -> Response:
        raise Unavailable("the disk is full")

    pages = Pages(
        Catalogues.load([OWN_MESSAGES]), [], assets=Assets([OWN_STATIC]), cookies=CookieNames("http://localhost:1")
    )
    app = Starlette(routes=[Route("/", refuse)], exception_handlers=Failures(pages).handlers())
    with structlog.testing.capture_logs() as logged:
        answer = TestClient(RequestId(app, rng=lambda size: bytes(size))).get("/")
    assert answer.status_code == 503
    members = {"code": "temporarily_unavailable", "detail": "the disk is full", "request_id": "A" * 20}
    assert logged == [{"event": "refused", "log_level": "warning", **members}]
