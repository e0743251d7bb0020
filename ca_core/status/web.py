"""/pki/...: OCSP, CRLs, CA certificates (RFC 6960 appendix A, RFC 5019 s6, RFC 5280 s4.2.1.13)."""

import binascii
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.kernel.clock import Clock
from ca_core.kernel.web.body import read_body
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.hop import Hop
from ca_core.status.crl import CrlArchive
from ca_core.status.model import CrlRecord
from ca_core.status.ocsp import OcspAnswer, OcspResponder
from ca_core.status.ports import Authorities

OCSP_RESPONSE = "application/ocsp-response"
CRL = "application/pkix-crl"
CERTIFICATE = "application/pkix-cert"
MAX_GET_CHARACTERS = 1_024
_CRL_MAX_AGE_S = 900
_CERTIFICATE_MAX_AGE_S = 86_400
_NOT_STORED = {"Cache-Control": "no-store"}


def routes(ocsp: OcspResponder, crls: CrlArchive, authorities: Authorities, hop: Hop, clock: Clock) -> list[Route]:
    """The public status endpoints. Open to everybody; they set no cookie and read none."""

    async def ocsp_post(request: Request) -> Response:
        try:
            body = await read_body(request, limit=ocsp.max_request_bytes)
        except RequestError as error:
            return _ocsp_response(ocsp.malformed(), status=error.status)
        return _ocsp_response(await hop(ocsp.respond, body))

    async def ocsp_get(request: Request) -> Response:
        try:
            body = parse_ocsp_path(request.path_params["request"])
        except ValueError:
            return _ocsp_response(ocsp.malformed())
        answer = await hop(ocsp.respond, body)
        return _conditional(request, _ocsp_response(answer))

    async def crl(request: Request) -> Response:
        try:
            record = await hop(crls.latest_record, request.path_params["slug"])
        except AuthorityNotFound:
            record = None
        if record is None:
            return Response(status_code=404, headers=_NOT_STORED)
        headers = _crl_headers(record, clock())
        if _is_known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(record.size_bytes)
        if request.method == "HEAD":
            return Response(media_type=CRL, headers=headers)
        return StreamingResponse(_chunks(crls, record, hop), media_type=CRL, headers=headers)

    async def ca_certificate(request: Request) -> Response:
        try:
            authority = await hop(authorities.by_slug, request.path_params["slug"])
        except AuthorityNotFound:
            return Response(status_code=404, headers=_NOT_STORED)
        der = authority.certificate.public_bytes(Encoding.DER)
        headers = {"Cache-Control": f"public, max-age={_CERTIFICATE_MAX_AGE_S}", "ETag": _entity_tag(der)}
        return _conditional(request, Response(der, media_type=CERTIFICATE, headers=headers))

    return [
        Route("/pki/ocsp", ocsp_post, methods=["POST"]),
        Route("/pki/ocsp/{request:path}", ocsp_get, methods=["GET"]),
        Route("/pki/crl/{slug}.crl", crl, methods=["GET"]),
        Route("/pki/ca/{slug}.cer", ca_certificate, methods=["GET"]),
    ]


def parse_ocsp_path(path: str) -> bytes:
    """The request's DER from a GET's path, after URL decoding; padding may be missing. Raises: ValueError."""
    if len(path) > MAX_GET_CHARACTERS:
        raise ValueError("too long")
    try:
        return b64decode(path.encode("ascii") + b"=" * (-len(path) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64") from error


def _ocsp_response(answer: OcspAnswer, *, status: int = 200) -> Response:
    headers = dict(_NOT_STORED)
    if answer.this_update is not None and answer.next_update is not None and answer.cache_seconds is not None:
        headers = {
            "Cache-Control": f"public, max-age={answer.cache_seconds}, no-transform, must-revalidate",
            "Last-Modified": _http_date(answer.this_update),
            "Expires": _http_date(answer.next_update),
            "ETag": _entity_tag(answer.der),
        }
    return Response(answer.der, status_code=status, media_type=OCSP_RESPONSE, headers=headers)


def _crl_headers(record: CrlRecord, now: datetime) -> dict[str, str]:
    left_s = int((record.next_update - now).total_seconds())
    lifetime = f"public, max-age={min(_CRL_MAX_AGE_S, left_s)}, must-revalidate" if left_s > 0 else "no-cache"
    return {
        "Cache-Control": lifetime,
        "Last-Modified": _http_date(record.this_update),
        "Expires": _http_date(record.next_update),
        "ETag": f'"{record.authority_id}-{record.number}"',
    }


async def _chunks(crls: CrlArchive, record: CrlRecord, hop: Hop) -> AsyncIterator[bytes]:
    """Holds no connection while the client reads."""
    for position in range(record.chunks):
        yield await hop(crls.chunk, record, position)


def _conditional(request: Request, response: Response) -> Response:
    tag = response.headers.get("ETag")
    if tag is None or not _is_known(request, tag):
        return response
    kept = {name: response.headers[name] for name in ("Cache-Control", "ETag", "Expires") if name in response.headers}
    return Response(status_code=304, headers=kept)


def _is_known(request: Request, tag: str) -> bool:
    sent = request.headers.get("If-None-Match", "")
    return any(candidate.strip().removeprefix("W/") in (tag, "*") for candidate in sent.split(","))


def _entity_tag(octets: bytes) -> str:
    return f'"{sha256(octets).hexdigest()[:32]}"'


def _http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)
