"""The public endpoints, with a responder and an archive that answer from memory."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.hop import Hop
from ca_core.status import CrlRecord, OcspAnswer
from ca_core.status.ocsp_web import MAX_GET_CHARACTERS, parse_ocsp_path
from ca_core.status.web import routes
from support.fakes import START, FakeClock
from support.small_pki import SmallPki

CHUNKS = (b"\x30\x03", b"one", b"two")


class EchoingOcsp:
    """Answers with what it was asked."""

    max_request_bytes = 64

    def __init__(self) -> None:
        self.cache_seconds: int | None = 60

    def remembered(self, request_der: bytes) -> OcspAnswer | None:
        return None

    def respond(self, request_der: bytes) -> OcspAnswer:
        return OcspAnswer(
            der=b"asked:" + request_der,
            cache_seconds=self.cache_seconds,
            this_update=START,
            next_update=START + timedelta(minutes=30),
        )

    def malformed(self) -> OcspAnswer:
        return OcspAnswer(der=b"malformed")


class MemoryArchive:
    def __init__(self) -> None:
        self.read: list[int] = []

    def latest_record(self, authority_slug: str) -> CrlRecord | None:
        if authority_slug == "none":
            return None
        if authority_slug != "citizen-g3":
            raise AuthorityNotFound(authority_slug)
        return CrlRecord(
            id=1,
            authority_id=3,
            number=2026030209,
            this_update=START,
            next_update=START + timedelta(hours=24),
            through=0,
            entries=0,
            size_bytes=sum(len(chunk) for chunk in CHUNKS),
            chunks=len(CHUNKS),
        )

    def chunk(self, record: CrlRecord, position: int) -> bytes:
        self.read.append(position)
        return CHUNKS[position]


class Client:
    """One request at a time, without a socket."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, content: bytes | None = None
    ) -> httpx2.Response:
        async def send() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self._app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://pki.test") as client:
                return await client.request(method, path, headers=headers, content=content)

        return asyncio.run(send())

    def get(self, path: str, *, headers: dict[str, str] | None = None) -> httpx2.Response:
        return self.request("GET", path, headers=headers)

    def head(self, path: str) -> httpx2.Response:
        return self.request("HEAD", path)

    def post(self, path: str, *, content: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
        return self.request("POST", path, headers=headers, content=content)


@pytest.fixture(scope="module")
def pki() -> SmallPki:
    return SmallPki()


@pytest.fixture
def ocsp() -> EchoingOcsp:
    return EchoingOcsp()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def client(tmp_path: Path, pki: SmallPki, ocsp: EchoingOcsp, archive: MemoryArchive, clock: FakeClock) -> Client:
    hop = Hop(Database.open(sqlite_url(tmp_path / "unused.db")))
    make: Callable[..., list[object]] = routes  # type: ignore[assignment]  # fakes of the same shape
    return Client(Starlette(routes=make(ocsp, archive, pki.authorities, hop, clock)))  # type: ignore[arg-type]  # as above


def test_post(client: Client) -> None:
    response = client.post("/pki/ocsp", content=b"request", headers={"Content-Type": "application/ocsp-request"})
    assert (response.status_code, response.content) == (200, b"asked:request")
    assert response.headers["Content-Type"] == "application/ocsp-response"


def test_a_body_over_the_bound_is_refused_unread(client: Client) -> None:
    response = client.post("/pki/ocsp", content=b"x" * 65)
    assert (response.status_code, response.content) == (413, b"malformed")
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("octets", [b"request", b"\xfb\xef\xbe\xff\xff\xff", b"\xff" * 60, b"a"])
@pytest.mark.parametrize("padded", [True, False])
def test_get_whatever_base64_does_to_the_path(client: Client, octets: bytes, padded: bool) -> None:
    encoded = b64encode(octets).decode()
    path = quote(encoded if padded else encoded.rstrip("="), safe="")
    response = client.get(f"/pki/ocsp/{path}")
    assert (response.status_code, response.content) == (200, b"asked:" + octets)


def test_get_headers_as_rfc_5019_wants_them(client: Client) -> None:
    response = client.get("/pki/ocsp/" + b64encode(b"request").decode())
    assert response.headers["Cache-Control"] == "public, max-age=60, no-transform, must-revalidate"
    assert response.headers["Last-Modified"] == "Mon, 02 Mar 2026 01:02:03 GMT"
    assert response.headers["Expires"] == "Mon, 02 Mar 2026 01:32:03 GMT"
    again = client.get(
        "/pki/ocsp/" + b64encode(b"request").decode(), headers={"If-None-Match": response.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_an_answer_that_must_not_be_kept_says_so(client: Client, ocsp: EchoingOcsp) -> None:
    ocsp.cache_seconds = None
    response = client.get("/pki/ocsp/" + b64encode(b"request").decode())
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


@pytest.mark.parametrize("path", ["%00", "a b", "é", "====", "abc$", "A" * (MAX_GET_CHARACTERS + 1), "AAAAA"])
def test_a_get_that_is_not_base64_is_malformed(client: Client, path: str) -> None:
    response = client.get(f"/pki/ocsp/{quote(path)}")
    assert (response.status_code, response.content) == (200, b"malformed")
    assert response.headers["Cache-Control"] == "no-store"
    with pytest.raises(ValueError, match=r"long|base64"):
        parse_ocsp_path(path)


def test_a_crl_is_streamed_with_its_headers(client: Client, archive: MemoryArchive) -> None:
    response = client.get("/pki/crl/citizen-g3.crl")
    assert (response.status_code, response.content) == (200, b"".join(CHUNKS))
    assert archive.read == [0, 1, 2]
    assert response.headers["Content-Type"] == "application/pkix-crl"
    assert response.headers["Content-Length"] == "8"
    assert response.headers["Cache-Control"] == "public, max-age=900, must-revalidate"
    assert response.headers["Last-Modified"] == "Mon, 02 Mar 2026 01:02:03 GMT"
    assert response.headers["ETag"] == '"3-2026030209"'


def test_a_crl_that_the_client_has_or_only_asks_about_is_not_read(client: Client, archive: MemoryArchive) -> None:
    known = client.get("/pki/crl/citizen-g3.crl", headers={"If-None-Match": '"x", W/"3-2026030209"'})
    assert (known.status_code, known.content) == (304, b"")
    head = client.head("/pki/crl/citizen-g3.crl")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "8")
    assert archive.read == []


@pytest.mark.parametrize(("left_s", "expected"), [(600, "public, max-age=600, must-revalidate"), (0, "no-cache")])
def test_a_crls_cache_time_never_outlives_next_update(
    client: Client, clock: FakeClock, left_s: int, expected: str
) -> None:
    clock.set(START + timedelta(hours=24, seconds=-left_s))
    assert client.get("/pki/crl/citizen-g3.crl").headers["Cache-Control"] == expected
    clock.advance(7200)
    assert client.get("/pki/crl/citizen-g3.crl").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/pki/crl/none.crl", "/pki/crl/nobody.crl", "/pki/ca/nobody.cer", "/pki/crl/..%2f.crl"]
)
def test_what_is_not_there(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_ca_certificate(client: Client, pki: SmallPki) -> None:
    response = client.get("/pki/ca/citizen-g3.cer")
    assert response.content == pki.g3.certificate.public_bytes(Encoding.DER)
    assert response.headers["Content-Type"] == "application/pkix-cert"
    assert client.get("/pki/ca/citizen-g2.cer").content != response.content
    again = client.get("/pki/ca/citizen-g3.cer", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods(client: Client, method: str) -> None:
    assert client.request(method, "/pki/ocsp").status_code == 405
