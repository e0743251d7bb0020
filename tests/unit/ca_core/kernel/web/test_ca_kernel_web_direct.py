"""Direct routes: straight to the handler; everything else is the app's."""

import json
from urllib.parse import parse_qsl

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ca_core.kernel.errors import Unavailable
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.body import parse_pairs
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.direct import DirectRoute, DirectRoutes
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.responses import Json
from ca_core.kernel.web.security import RequestId


async def direct(request: Request) -> Response:
    return PlainTextResponse("direct" if "app" not in request.scope else "routed")


async def other(request: Request) -> Response:
    return PlainTextResponse("other")


def client() -> TestClient:
    routes = [DirectRoute("/fast", direct, methods=["GET", "POST"]), Route("/slow", other)]
    return TestClient(DirectRoutes(Starlette(routes=routes), routes))


def test_a_direct_route_is_reached_without_the_router() -> None:
    assert client().get("/fast?a=b").text == "direct"
    assert client().post("/fast").text == "direct"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/slow", 200), ("PUT", "/fast", 405), ("GET", "/", 404)]
)
def test_all_else_is_the_apps(method: str, path: str, status: int) -> None:
    assert client().request(method, path).status_code == status


def test_json_is_what_starlette_would_write() -> None:
    response = Json({"name": "王小明", "n": [1, True]})
    assert json.loads(bytes(response.body)) == {"name": "王小明", "n": [1, True]}
    assert response.headers["content-type"] == "application/json"


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
