"""Every endpoint of the provider of the real application, on both databases, against hostile requests: the protocol's
own error, never a 5xx, nothing of the insides, bounded work."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.hostile_country import PORT, HostileCountry, found
from support.hostile_http import (
    PIECE,
    Answer,
    Headers,
    HostileRequest,
    altered,
    endless,
    headers,
    json_bodies,
    methods,
    paths,
    queries,
    verify_bounded,
)
from support.postgresql import PostgresqlServer

_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_LIMIT = 32_768
_TOKEN_ERRORS = {
    *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
    "invalid_scope",
}
_BROWSER = f"citizenid-browser-{PORT}"
_CSRF = re.compile(r'name="csrf_token" value="([A-Za-z0-9_-]+)"')


@dataclass(frozen=True, repr=False)
class Provider:
    country: HostileCountry

    def ask(self, method: str, path: str, body: bytes = b"", more: Headers = (), query: bytes = b"") -> Answer:
        pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
        answer = self.country.server.ask(
            HostileRequest(method=method, path=path, query=query, headers=more, body=pieces)
        )
        verify_bounded(answer, body_limit=_LIMIT)
        return answer

    def authorization(self) -> dict[str, str]:
        registration = self.country.country.registration
        return {
            "client_id": registration.client_id,
            "redirect_uri": registration.redirect_uri,
            "response_type": "code",
            "scope": "openid profile",
            "state": "s",
            "nonce": "n",
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
        }

    def basic(self) -> tuple[bytes, bytes]:
        registration = self.country.country.registration
        pair = f"{quote(registration.client_id)}:{quote(registration.client_secret)}"
        return (b"authorization", b"Basic " + b64encode(pair.encode()))

    def interaction(self) -> "Interaction":
        answer = self.ask("GET", "/authorize", query=urlencode(self.authorization()).encode())
        assert answer.status == 303, answer.body
        cookie = answer.named["set-cookie"].partition(";")[0].encode()
        path = answer.named["location"]
        page = self.ask("GET", path, more=[(b"cookie", cookie)])
        csrf = _CSRF.search(page.body.decode())
        assert csrf is not None
        return Interaction(path, [(b"cookie", cookie), (b"x-csrf-token", csrf[1].encode())], csrf[1])


@dataclass(frozen=True)
class Interaction:
    path: str
    own: Headers
    csrf: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    url = None
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.create_database("hostile")
    with found(tmp_path_factory.mktemp("country"), url) as country:
        yield Provider(country)


def _is_page_or_problem(answer: Answer) -> bool:
    if answer.media_type == "text/html":
        return b"</html>" in answer.body
    if answer.media_type == "application/problem+json":
        members = json.loads(answer.body)
        return members["status"] == answer.status and bool(members["code"])
    return False


def _forms() -> st.SearchStrategy[bytes]:
    names = st.sampled_from(
        [
            *("grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "response_type"),
            *("scope", "state", "nonce", "code_challenge", "code_challenge_method", "claims", "prompt", "max_age"),
            *("id_token_hint", "login_hint", "acr_values", "request", "request_uri", "ui_locales", "response_mode"),
            *("post_logout_redirect_uri", "csrf_token", "decision", "reason", "access_token", "\x00", ""),
        ]
    )
    values = st.one_of(
        st.sampled_from(
            [
                *("authorization_code", "code", "openid", "\x00", "a\x00b", "9" * 5_000, "-1", "[" * 900, "{" * 900),
                *('{"userinfo":' + "[" * 400, "https://rp.example/cb", "javascript:alert(1)", "\r\nX: y", "x" * 9_000),
                *(
                    _jws('{"alg":' + "[" * 3_000),
                    _jws('{"alg":["ES256"]}'),
                    _jws('{"alg":"none"}'),
                    _jws("[]"),
                    "..",
                    "none",
                ),
                *(_jws('{"alg":"ES256","kid":{}}'), _jws('{"alg":"ES256","crit":["b64"],"b64":false}'), "urn:x y"),
            ]
        ),
        st.text(max_size=30),
    )
    fields = st.lists(st.tuples(names, values), max_size=6)
    return st.one_of(fields.map(lambda pairs: urlencode(pairs, errors="replace").encode()), queries())


def _jws(header: str) -> str:
    encoded = urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    return f"{encoded}.{encoded}.{'A' * 86}"


@given(_forms(), headers(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_authorization_requests(provider: Provider, form: bytes, more: Headers, by_post: bool) -> None:
    if by_post:
        answer = provider.ask("POST", "/authorize", form, [_FORM, *more])
    else:
        answer = provider.ask("GET", "/authorize", query=form, more=more)
    assert answer.status in (303, 400, 401, 413)
    if answer.status == 303:
        assert answer.named["location"].startswith(("/authorize?", "/interaction/", "http://localhost:1/callback?"))
        assert "server_error" not in answer.named["location"]
    else:
        assert answer.media_type == "text/html"


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_authorization_requests_of_a_known_client(provider: Provider, data: st.DataObject) -> None:
    """Past the checks of client and redirect_uri the errors go there, by RFC 6749 s4.1.2.1."""
    known = provider.authorization()
    kept = urlencode({name: known[name] for name in ("client_id", "redirect_uri")})
    answer = provider.ask("GET", "/authorize", query=kept.encode() + b"&" + data.draw(_forms()))
    assert answer.status in (303, 400)
    if answer.status == 303:
        location = answer.named["location"]
        assert location.startswith(("/interaction/", "http://localhost:1/callback?"))
        assert "server_error" not in location


@given(st.one_of(_forms(), json_bodies()), headers(), st.sampled_from([_FORM, (b"content-type", b"text/plain")]))
@settings(max_examples=200, deadline=None)
def test_token_requests(provider: Provider, body: bytes, more: Headers, media_type: tuple[bytes, bytes]) -> None:
    answer = provider.ask("POST", "/token", body, [media_type, *more])
    _verify_oauth_error(answer)


@given(
    _forms(), st.sampled_from(["\x00", "a\x00", "\x00:\x00", "王", "%", "\ud800".encode("utf-8", "replace").decode()])
)
@settings(max_examples=60, deadline=None)
def test_token_requests_of_odd_clients(provider: Provider, body: bytes, name: str) -> None:
    pair = f"{quote(name)}:{quote(name)}".encode()
    answer = provider.ask("POST", "/token", body, [_FORM, (b"authorization", b"Basic " + b64encode(pair))])
    _verify_oauth_error(answer)


@given(_forms())
@settings(max_examples=150, deadline=None)
def test_token_requests_of_a_known_client(provider: Provider, body: bytes) -> None:
    answer = provider.ask("POST", "/token", b"grant_type=authorization_code&" + body, [_FORM, provider.basic()])
    _verify_oauth_error(answer)


def _verify_oauth_error(answer: Answer) -> None:
    assert answer.status in (400, 401)
    assert answer.media_type == "application/json"
    assert json.loads(answer.body)["error"] in _TOKEN_ERRORS
    assert answer.named["cache-control"] == "no-store"


@given(methods().filter(lambda method: method in ("GET", "POST")), queries(), headers(), st.binary(max_size=100))
@settings(max_examples=150, deadline=None)
def test_userinfo_requests(provider: Provider, method: str, query: bytes, more: Headers, body: bytes) -> None:
    answer = provider.ask(method, "/userinfo", body if method == "POST" else b"", [_FORM, *more], query)
    assert answer.status in (400, 401)
    if answer.status == 401:
        assert answer.named["www-authenticate"].startswith("Bearer")


_HINTS = [
    *(
        '{"alg":"ES256","crit":[[]]}',
        '{"alg":["ES256"]}',
        '{"alg":{}}',
        '{"alg":"none"}',
        '{"kid":[]}',
        "[]",
        "null",
        "x",
    ),
    *(
        '{"alg":' + "[" * 3_000,
        '{"alg":"ES256","jwk":5}',
        '{"alg":"ES256","b64":false}',
        '{"alg":"dir","enc":"A128GCM"}',
    ),
]


@given(
    st.sampled_from(_HINTS),
    st.sampled_from(["{0}.{0}.A", "{0}.{0}.", "{0}", "{0}.a.b.c.d", "..{0}", "{0}" + "A" * 8_000]),
)
@settings(max_examples=72, deadline=None)
def test_hints_that_are_no_id_tokens(provider: Provider, header: str, shape: str) -> None:
    encoded = urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    hint = {"id_token_hint": shape.format(encoded)}
    asked = provider.ask("GET", "/authorize", query=urlencode(provider.authorization() | hint).encode())
    assert asked.status in (303, 400)
    assert "server_error" not in asked.named.get("location", "")
    left = provider.ask("GET", "/logout", query=urlencode(hint).encode())
    assert left.status == 303 or _is_page_or_problem(left)


@given(_forms(), headers(), st.sampled_from(["/logout", "/logout/confirm"]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_logout_requests(provider: Provider, form: bytes, more: Headers, path: str, by_post: bool) -> None:
    answer = provider.ask("POST" if by_post else "GET", path, form if by_post else b"", more, b"" if by_post else form)
    assert answer.status == 303 or _is_page_or_problem(answer)


@given(json_bodies(), st.sampled_from(["/card/challenge", "/card", "/card/failure"]))
@settings(max_examples=200, deadline=None)
def test_calls_of_a_live_interaction(provider: Provider, body: bytes, call: str) -> None:
    """Behind cookie and CSRF token: what a hostile page or bridge can send."""
    interaction = provider.interaction()
    answer = provider.ask("POST", interaction.path + call, body, interaction.own)
    assert answer.status in (200, 400, 403, 409, 413)
    assert answer.media_type == ("application/json" if answer.status == 200 else "application/problem+json")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_altered_tokens_of_a_live_interaction(provider: Provider, data: st.DataObject) -> None:
    interaction = provider.interaction()
    assert provider.ask("POST", interaction.path + "/card/challenge", b"{}", interaction.own).status == 200
    certificate = data.draw(altered(provider.country.country.cards[0].certificate))
    token = {
        "format": "web-eid:1.0",
        "appVersion": "x",
        "algorithm": data.draw(st.sampled_from(["ES256", "ES384", "RS256", "PS256", "none"])),
        "unverifiedCertificate": b64encode(certificate).decode(),
        "signature": b64encode(data.draw(st.binary(min_size=1, max_size=100))).decode(),
    }
    token |= data.draw(
        st.dictionaries(st.sampled_from(list(token)), st.one_of(st.none(), st.text(max_size=9)), max_size=1)
    )
    body = json.dumps({"auth_token": token}).encode()
    answer = provider.ask("POST", interaction.path + "/card", body, interaction.own)
    assert answer.status in (400, 403, 409)
    assert _is_page_or_problem(answer)


@given(
    st.one_of(_forms(), st.just(b"csrf_token=\xe7")), headers(), st.sampled_from(["/consent", "/cancel"]), st.booleans()
)
@settings(max_examples=100, deadline=None)
def test_forms_of_a_live_interaction(
    provider: Provider, form: bytes, more: Headers, page: str, with_token: bool
) -> None:
    interaction = provider.interaction()
    body = b"csrf_token=" + interaction.csrf.encode() + b"&" + form if with_token else form
    answer = provider.ask("POST", interaction.path + page, body, [*interaction.own[:1], *more])
    assert answer.status == 303 or _is_page_or_problem(answer)


_PREFIXES = (
    *("/", "/interaction/", "/interaction/statement/", "/.well-known/", "/.well-known/openid-configuration", "/jwks"),
    *("/authorize", "/token", "/userinfo", "/logout", "/healthz", "/readyz", "/metrics", "/assets/", "//evil.example/"),
)


@given(
    methods(),
    paths(*_PREFIXES),
    st.sampled_from(["", "/card", "/card/failure", "/consent", "/cancel", "/"]),
    queries(),
    headers(),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_odd_paths(
    provider: Provider, method: str, path: str, ending: str, query: bytes, more: Headers, with_cookie: bool
) -> None:
    own = [(b"cookie", f"{_BROWSER}={'b' * 43}".encode())] if with_cookie else []
    answer = provider.ask(method, path + ending, more=[*own, *more], query=query)
    if 300 <= answer.status < 400:
        assert answer.named["location"].startswith(("/", "http://localhost:1/callback?"))
        assert not answer.named["location"].startswith("//")


@pytest.mark.parametrize(
    "path", ["/authorize", "/token", "/userinfo", "/logout", "/logout/confirm", "/interaction/x/cancel"]
)
def test_a_body_without_an_end(provider: Provider, path: str) -> None:
    answer = provider.country.server.ask(HostileRequest(method="POST", path=path, headers=[_FORM], body=endless()))
    verify_bounded(answer, body_limit=_LIMIT)
    assert answer.status in (400, 413)
