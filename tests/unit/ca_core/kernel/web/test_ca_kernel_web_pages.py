"""Pages, assets, failures and headers, over ASGI."""

import asyncio
import re
from pathlib import Path

import httpx2
import pytest
from jinja2 import TemplateSyntaxError, UndefinedError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from ca_core.kernel.errors import ConfigurationError, Conflict, DomainError, Unavailable
from ca_core.kernel.rng import system_rng
from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.errors import MalformedForm
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.messages import Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES, OWN_STATIC, Pages
from ca_core.kernel.web.problem import problem
from ca_core.kernel.web.security import RequestId, SecurityHeaders, content_security_policy, request_id_of

ISSUER = "https://login.example"
HTML = {"accept": "text/html,application/xhtml+xml"}


class Secretive(DomainError):
    code = "secretive"


def pages(folder: Path | None = None) -> Pages:
    return Pages(
        Catalogues.load([OWN_MESSAGES]),
        [] if folder is None else [folder],
        assets=Assets([OWN_STATIC]),
        cookies=CookieNames(ISSUER),
    )


def app(made: Pages, *, trust_inbound: bool = False, https: bool = True) -> ASGIApp:
    errors: dict[str, Exception] = {
        "unavailable": Unavailable("the database's address"),
        "conflict": Conflict("table.column"),
        "form": MalformedForm("a field"),
        "unknown": RuntimeError("a secret"),
        "domain": Secretive("a detail"),
    }

    async def fail(request: Request) -> Response:
        raise errors[request.path_params["name"]]

    async def page(request: Request) -> Response:
        return made.render(
            request, "message.html", kind="info", title="<T>", message="&m", code="", actions=(("/x", "go"),)
        )

    routes = [
        Route("/fail/{name}", fail),
        Route("/page", page, methods=["GET", "POST"]),
        *Assets([OWN_STATIC]).routes(),
    ]
    inner = Starlette(routes=routes, exception_handlers=Failures(made).handlers())
    return RequestId(SecurityHeaders(inner, https=https), rng=system_rng, trust_inbound=trust_inbound)


def get(application: ASGIApp, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(application, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=ISSUER) as client:
            return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return asyncio.run(send())


@pytest.mark.parametrize(
    "name, status, code",
    [
        ("unavailable", 503, "temporarily_unavailable"),
        ("conflict", 409, "conflict"),
        ("form", 400, "malformed_form"),
        ("unknown", 500, "server_error"),
        ("domain", 500, "secretive"),
    ],
)
def test_failures_are_a_page_for_a_person_and_a_problem_for_a_program(name: str, status: int, code: str) -> None:
    for answer in (get(app(pages()), f"/fail/{name}", **HTML), get(app(pages()), f"/fail/{name}")):
        assert answer.status_code == status
        assert code in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search("secret\\b|address|column|a detail|Traceback", answer.text)
        assert (answer.headers.get("retry-after") == "5") == (status == 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_what_the_reader_is_not_told_is_in_the_log_under_the_request_id() -> None:
    with capture_logs() as logs:
        refused = get(app(pages()), "/fail/domain")
        get(app(pages()), "/fail/unknown")
    assert logs[0]["code"] == "secretive"
    assert logs[0]["detail"]
    assert logs[0]["request_id"] == refused.headers["x-request-id"]
    assert isinstance(logs[1]["exc_info"], Exception)


@pytest.mark.parametrize("path, method, status", [("/nowhere", "GET", 404), ("/page", "DELETE", 405)])
def test_addresses_that_do_not_exist(path: str, method: str, status: int) -> None:
    answer = get(app(pages()), path, method, **HTML)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert ("allow" in answer.headers) == (status == 405)


def test_a_page_escapes_and_carries_its_policy() -> None:
    answer = get(app(pages()), "/page?lang=en")
    assert "&lt;T&gt;" in answer.text
    assert "&amp;m" in answer.text
    assert answer.headers["content-security-policy"] == content_security_policy()
    assert len(answer.headers.get_list("content-security-policy")) == 1
    assert answer.headers["set-cookie"].startswith("__Host-citizenid-lang=en; ")


def test_the_other_language_is_one_link_away_and_keeps_the_query() -> None:
    assert 'href="?a=1&amp;lang=en"' in get(app(pages()), "/page?a=1&lang=zh-TW").text
    assert "hreflang" not in get(app(pages()), "/page", "POST").text


def test_a_language_that_we_do_not_speak_sets_no_cookie() -> None:
    assert "set-cookie" not in get(app(pages()), "/page?lang=tlh").headers
    assert "set-cookie" not in get(app(pages()), "/page").headers


def test_security_headers_on_everything() -> None:
    for path in ("/page", "/nowhere", "/fail/unknown", "/assets/none.css"):
        headers = get(app(pages()), path).headers
        assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in get(app(pages(), https=False), "/page").headers


def test_request_ids_are_ours_unless_a_proxy_is_trusted() -> None:
    theirs = {"x_request_id": "from-the-proxy-1"}
    assert get(app(pages()), "/page", **theirs).headers["x-request-id"] != "from-the-proxy-1"
    trusting = app(pages(), trust_inbound=True)
    assert get(trusting, "/page", **theirs).headers["x-request-id"] == "from-the-proxy-1"
    for forged in ("short", "x" * 65, "has space", "line%0abreak!"):
        assert get(trusting, "/page", x_request_id=forged).headers["x-request-id"] != forged
    ids = {get(app(pages()), "/page").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


def test_a_request_without_the_middleware_has_no_id() -> None:
    assert request_id_of(Request({"type": "http", "headers": []})) == ""


def test_assets_are_named_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("one")
    first = Assets([tmp_path]).url("a.css")
    (tmp_path / "a.css").write_text("two")
    assert Assets([tmp_path]).url("a.css") != first
    with pytest.raises(KeyError):
        Assets([tmp_path]).url("b.css")


def test_assets_are_kept_for_ever_and_nothing_else_is_served() -> None:
    url = Assets([OWN_STATIC]).url("site.css")
    answer = get(app(pages()), url)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    for other in ("/assets/site.css", url.replace("site.", "site.0"), "/assets/..%2fpages.py", "/assets/"):
        assert get(app(pages()), other).status_code == 404


@pytest.mark.parametrize("name", ["program.exe", "noending"])
def test_an_asset_of_unknown_kind_stops_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(ConfigurationError):
        Assets([tmp_path])


def test_two_assets_of_one_name_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "site.css").write_text("x")
    with pytest.raises(ConfigurationError, match="second"):
        Assets([OWN_STATIC, tmp_path])


def test_a_broken_template_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "broken.html").write_text("{% if %}")
    with pytest.raises(TemplateSyntaxError):
        pages(tmp_path)


def test_a_template_that_names_what_nobody_gave_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loose.html").write_text("{{ nobody }}")
    with pytest.raises(UndefinedError):
        pages(tmp_path).render(
            Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}), "loose.html"
        )


def test_problem_details() -> None:
    answer = problem(
        409, "conflict", title="標題", detail="d", headers={"Retry-After": "1"}, tries_left=2, left_out=None
    )
    assert answer.body == '{"status":409,"code":"conflict","title":"標題","detail":"d","tries_left":2}'.encode()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.headers["cache-control"], answer.headers["retry-after"]) == ("no-store", "1")
