"""No endpoint of the real application is left out of the hostile requests: each is named here beside its test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from idp.demo.configuration import ISSUING
from support.hostile_country import HostileCountry, found
from support.hostile_http import Headers, HostileRequest, headers, methods, queries, verify_bounded

_REACHED: dict[str, str] = {
    "/authorize": "test_authorization_requests",
    "/token": "test_token_requests",
    "/userinfo": "test_userinfo_requests",
    "/interaction/statement/{digest}": "test_odd_requests_to_each_path",
    "/interaction/{interaction_id}/card/challenge": "test_calls_of_a_live_interaction",
    "/interaction/{interaction_id}/card": "test_altered_tokens_of_a_live_interaction",
    "/interaction/{interaction_id}/card/failure": "test_calls_of_a_live_interaction",
    "/interaction/{interaction_id}": "test_odd_paths",
    "/interaction/{interaction_id}/cancel": "test_forms_of_a_live_interaction",
    "/interaction/{interaction_id}/consent": "test_forms_of_a_live_interaction",
    "/logout": "test_logout_requests",
    "/logout/confirm": "test_logout_requests",
    "/.well-known/openid-configuration": "test_odd_requests_to_each_path",
    "/.well-known/oauth-authorization-server": "test_odd_requests_to_each_path",
    "/jwks": "test_odd_requests_to_each_path",
    "/assets/{name}": "test_odd_requests_to_each_path",
    "/healthz": "test_odd_requests_to_each_path",
    "/readyz": "test_odd_requests_to_each_path",
    "/metrics": "test_odd_requests_to_each_path",
    "/pki/ocsp": "test_no_ocsp_request_by_post",
    "/pki/ocsp/{request:path}": "test_odd_paths_of_ocsp",
    "/pki/tsa": "test_no_timestamp_request",
    "/pki/ca/{slug}.cer": "test_odd_headers_to_what_is_published",
    "/pki/crl/{slug}.crl": "test_odd_headers_to_what_is_published",
    "/pki/crl/{slug}-delta.crl": "test_odd_headers_to_what_is_published",
    "/pki/crl/{slug}/{shard}.crl": "test_odd_requests_to_each_path",
    "/pki/log/checkpoint": "test_odd_headers_to_what_is_published",
    "/pki/log/checkpoint/witnessed": "test_odd_requests_to_each_path",
    "/pki/log/cosignatures": "test_no_cosignature",
    "/pki/log/tile/{path:path}": "test_odd_requests_to_each_path",
}


def test_every_endpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = set[str]()
    made = Starlette.__init__

    def noted(self: Starlette, *arguments: object, **options: object) -> None:
        made(self, *arguments, **options)  # type: ignore[arg-type]  # passed through
        served.update(route.path for route in self.routes)  # type: ignore[attr-defined]  # no mounts: each has one

    monkeypatch.setattr(Starlette, "__init__", noted)
    with found(tmp_path):
        pass
    assert served == set(_REACHED)
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_http_hostile_*.py"))
    for name in _REACHED.values():
        assert f"def {name}(" in tests, name


_EXACT = [
    *("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks", "/healthz", "/readyz"),
    *(
        "/metrics",
        "/pki/log/checkpoint/witnessed",
        f"/pki/crl/{ISSUING}/0.crl",
        "/assets/style.css",
        "/pki/log/tile/0/000",
    ),
    *("/pki/log/tile/entries/000.p/1", f"/interaction/statement/{'A' * 43}", "/userinfo", "/logout", "/pki/ocsp"),
]


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileCountry]:
    with found(tmp_path_factory.mktemp("country")) as made:
        yield made


@given(st.sampled_from(_EXACT), methods(), headers(), queries(), st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_odd_requests_to_each_path(
    country: HostileCountry, path: str, method: str, more: Headers, query: bytes, body: bytes
) -> None:
    asked = HostileRequest(method=method, path=path, query=query, headers=more, body=[body] if body else [])
    verify_bounded(country.server.ask(asked), body_limit=32_768)
