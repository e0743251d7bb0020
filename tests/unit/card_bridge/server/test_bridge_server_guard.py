"""What a loopback server must withstand: rebinding, foreign pages, plain forms, frames, WebSockets, large bodies."""

import asyncio
import json
from typing import Any

import pytest

from support.bridge_fakes import ORIGIN, PORT, Bridge

JSON = ("content-type", "application/json")


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"[::1]:{PORT}", f"localhost:{PORT}"])
def test_the_loopback_names_are_served(host: str, bridge: Bridge) -> None:
    assert bridge.client("GET", "/v1/status", [("host", host), *bridge.page()]).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:80",
        f"127.0.0.1:{PORT}.evil.example",
        f"127.0.0.1.evil.example:{PORT}",
        f"LOCALHOST:{PORT}",
        f"localhost.:{PORT}",
        f"127.0.0.2:{PORT}",
        f"0.0.0.0:{PORT}",
        f"[::]:{PORT}",
        f"127.1:{PORT}",
        f"user@127.0.0.1:{PORT}",
    ],
)
@pytest.mark.parametrize("target", ["/v1/status", "/consent/x", "/assets/consent.css", "/"])
def test_dns_rebinding_is_misdirected(host: str, target: str, bridge: Bridge) -> None:
    answer = bridge.client("GET", target, [("host", host), *bridge.page()])
    assert (answer.status, answer.json["code"]) == (421, "host_not_served")
    assert "access-control-allow-origin" not in answer.headers


def test_two_hosts_are_misdirected(bridge: Bridge) -> None:
    hosts = [("host", bridge.client.host), ("host", bridge.client.host)]
    assert bridge.client("GET", "/v1/status", [*hosts, *bridge.page()]).status == 421


def test_a_rebound_page_of_the_same_origin_sends_no_origin(bridge: Bridge) -> None:
    answer = bridge.client("GET", "/v1/status", [("x-card-bridge", "1")])
    assert (answer.status, answer.json["code"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "https://id.example.tw.evil.example",
        "https://evil.id.example.tw",
        "http://id.example.tw",
        "https://id.example.tw:8443",
        "https://ID.example.tw",
        "https://id.example.tw/",
        "*",
        "",
        f"http://127.0.0.1:{PORT}",
        f"http://localhost:{PORT}",
        f"{ORIGIN}, https://evil.example",
    ],
)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/status"),
        ("POST", "/v1/authenticate"),
        ("GET", "/v1/events?operation_id=x"),
        ("POST", "/v1/cancel"),
        ("OPTIONS", "/v1/authenticate"),
        ("GET", "/v1/nothing"),
    ],
)
def test_pages_that_the_bridge_does_not_know(origin: str, method: str, target: str, bridge: Bridge) -> None:
    body = json.dumps(bridge.statement()).encode()
    answer = bridge.client(method, target, bridge.page(JSON, origin=origin), body)
    assert (answer.status, answer.json["code"]) == (403, "origin_not_allowed")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert bridge.readers.calls == 0


def test_two_origins_are_none(bridge: Bridge) -> None:
    assert bridge.client("GET", "/v1/status", [("origin", ORIGIN), *bridge.page()]).status == 403


@pytest.mark.parametrize("value", [None, "", "0", "2", "1, 1", "true"])
def test_without_the_header_nothing_is_done(value: str | None, bridge: Bridge) -> None:
    headers = [("origin", ORIGIN), JSON] + ([] if value is None else [("x-card-bridge", value)])
    answer = bridge.client("POST", "/v1/authenticate", headers, json.dumps(bridge.statement()).encode())
    assert (answer.status, answer.json["code"]) == (403, "header_missing")
    assert bridge.readers.calls == 0


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "text/plain; application/json"],
)
def test_media_types_of_simple_requests(media_type: str, bridge: Bridge) -> None:
    body = json.dumps(bridge.statement()).encode()
    answer = bridge.client("POST", "/v1/authenticate", bridge.page(("content-type", media_type)), body)
    assert (answer.status, answer.json["code"]) == (415, "media_type_not_json")
    assert bridge.readers.calls == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("target", ["/v1/authenticate", "/v1/cancel"])
def test_no_effect_by_other_methods(method: str, target: str, bridge: Bridge) -> None:
    answer = bridge.client(method, target, bridge.page(JSON), json.dumps(bridge.statement()).encode())
    assert answer.status == 405
    assert bridge.readers.calls == 0


def test_the_preflight_answers_the_exact_origin(bridge: Bridge) -> None:
    headers = [
        ("origin", ORIGIN),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-card-bridge"),
    ]
    answer = bridge.client("OPTIONS", "/v1/authenticate", headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-headers"] == "content-type, x-card-bridge"
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-private-network" not in answer.headers


@pytest.mark.parametrize("name", ["private", "local"])
def test_the_preflight_for_a_local_network(name: str, bridge: Bridge) -> None:
    headers = [("origin", ORIGIN), (f"access-control-request-{name}-network", "true")]
    answer = bridge.client("OPTIONS", "/v1/status", headers)
    assert answer.headers[f"access-control-allow-{name}-network"] == "true"
    stranger = bridge.client("OPTIONS", "/v1/status", [("origin", "https://evil.example"), headers[1]])
    assert stranger.status == 403
    assert f"access-control-allow-{name}-network" not in stranger.headers


def test_refusals_can_be_read_by_the_provider_page(bridge: Bridge) -> None:
    answer = bridge.post("/v1/authenticate", {"challenge_nonce": "x"})
    assert answer.status == 400
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["content-type"] == "application/problem+json"


def test_bodies_are_bounded_by_what_is_declared_and_by_what_comes(bridge: Bridge) -> None:
    body = b'{"statement":"' + b"A" * 20_000 + b'"}'
    for headers in (bridge.page(JSON, ("content-length", str(len(body)))), bridge.page(JSON)):
        answer = bridge.client("POST", "/v1/authenticate", headers, body)
        assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    for length in ("-1", "x", "99999999999999999999", "１"):
        declared = [] if not length.isascii() else bridge.page(JSON, ("content-length", length))
        if declared:
            assert bridge.client("POST", "/v1/authenticate", declared, b"{}").status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"challenge_nonce":"a","challenge_nonce":"b"}',
        b'{"x":1}',
        b'{"challenge_nonce":1}',
        b'{"challenge_nonce":"' + b"A" * 200 + b'"}',
        b'{"challenge_nonce":NaN}',
        b"[" * 5000,
        b'{"a":' * 3000,
    ],
)
def test_json_that_is_none(body: bytes, bridge: Bridge) -> None:
    answer = bridge.client("POST", "/v1/authenticate", bridge.page(JSON), body)
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")


def test_websockets_are_closed_before_the_handshake_whatever_their_origin(bridge: Bridge) -> None:
    for origin in (ORIGIN, "https://evil.example"):
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any, sent: list[dict[str, Any]] = sent) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        scope = bridge.client.scope("GET", "/v1/events", bridge.page(origin=origin)) | {"type": "websocket"}
        asyncio.run(bridge.client.app(scope, receive, send))
        assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize("target", ["/", "/nothing", "/v1/status", "/consent/x", "/assets/consent.css", "/assets/../x"])
def test_every_answer_carries_the_security_headers(target: str, bridge: Bridge) -> None:
    answer = bridge.client("GET", target, bridge.page())
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_status_tells_allowed_origins_the_version_and_nothing_of_cards(bridge: Bridge) -> None:
    answer = bridge.client("GET", "/v1/status", bridge.page())
    assert set(answer.json) == {"version", "pending"}
    assert bridge.readers.calls == 0


def test_strangers_cannot_tell_versions_apart(bridge: Bridge) -> None:
    for target in ("/", "/v1/status", "/consent/x", "/assets/nothing"):
        answer = bridge.client("GET", target, [("origin", "https://evil.example")])
        assert "0.1.0" not in answer.text
        assert "server" not in answer.headers
