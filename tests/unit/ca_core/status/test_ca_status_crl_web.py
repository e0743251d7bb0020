"""The addresses of deltas and shards, with an archive that answers from memory."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.web.hop import Hop
from ca_core.status.crl_web import crl_routes
from ca_core.status.model import CrlKind, CrlRecord
from support.fakes import START, FakeClock

COMPLETE = CrlRecord(
    id=1,
    authority_id=3,
    number=2026030209,
    this_update=START,
    next_update=START + timedelta(hours=24),
    through=0,
    entries=0,
    size_bytes=8,
    chunks=1,
)


class MemoryArchive:
    def latest_record(self, slug: str) -> CrlRecord | None:
        self._known(slug)
        return COMPLETE

    def latest_delta_record(self, slug: str) -> CrlRecord | None:
        self._known(slug)
        return replace(COMPLETE, number=2026030210, kind=CrlKind.DELTA, base_number=2026030209)

    def latest_shard_record(self, slug: str, shard: int) -> CrlRecord | None:
        self._known(slug)
        return replace(COMPLETE, shard=shard) if shard < 16 else None

    def chunk(self, record: CrlRecord, position: int) -> bytes:
        return f"{record.kind[:4]:4}{record.shard!s:4}".encode()

    def _known(self, slug: str) -> None:
        if slug != "citizen-g3":
            raise AuthorityNotFound(slug)


def get(tmp_path: Path, path: str, **headers: str) -> httpx2.Response:
    hop = Hop(Database.open(sqlite_url(tmp_path / "unused.db")))
    app = Starlette(routes=crl_routes(MemoryArchive(), hop, FakeClock()))  # type: ignore[arg-type]  # a fake of the same shape

    async def send() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://pki.test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("path", "content", "tag", "max_age"),
    [
        ("/pki/crl/citizen-g3.crl", b"compNone", '"3-2026030209"', 900),
        ("/pki/crl/citizen-g3-delta.crl", b"deltNone", '"3-2026030210"', 300),
        ("/pki/crl/citizen-g3/7.crl", b"comp7   ", '"3-2026030209-7"', 900),
        ("/pki/crl/citizen-g3/15.crl", b"comp15  ", '"3-2026030209-15"', 900),
    ],
)
def test_each_list_has_its_address(tmp_path: Path, path: str, content: bytes, tag: str, max_age: int) -> None:
    response = get(tmp_path, path)
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["Content-Type"] == "application/pkix-crl"
    assert response.headers["ETag"] == tag
    assert response.headers["Cache-Control"] == f"public, max-age={max_age}, must-revalidate"
    assert get(tmp_path, path, **{"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/pki/crl/citizen-g9-delta.crl",
        "/pki/crl/citizen-g9/1.crl",
        "/pki/crl/citizen-g3/16.crl",
        "/pki/crl/citizen-g3/-1.crl",
        "/pki/crl/citizen-g3/x.crl",
        "/pki/crl/citizen-g3/%C2%B2.crl",
        "/pki/crl/citizen-g3/9999999.crl",
        "/pki/crl/citizen-g3/1/2.crl",
    ],
)
def test_what_is_not_there(tmp_path: Path, path: str) -> None:
    response = get(tmp_path, path)
    assert response.status_code == 404
