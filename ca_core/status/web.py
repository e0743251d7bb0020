"""/pki/...: OCSP, CRLs, CA certificates (RFC 5280 s4.2.1.13)."""

from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.kernel.clock import Clock
from ca_core.kernel.web.hop import Hop
from ca_core.status.crl_archive import CrlArchive
from ca_core.status.crl_web import crl_routes
from ca_core.status.ocsp import OcspResponder
from ca_core.status.ocsp_web import PATH as OCSP_PATH
from ca_core.status.ocsp_web import OcspEndpoint
from ca_core.status.ports import Authorities

CERTIFICATE = "application/pkix-cert"
_CERTIFICATE_MAX_AGE_S = 86_400
_NOT_STORED = {"Cache-Control": "no-store"}


def routes(ocsp: OcspResponder, crls: CrlArchive, authorities: Authorities, hop: Hop, clock: Clock) -> list[Route]:
    """The public status endpoints. Open to everybody; they set no cookie and read none."""
    endpoint = OcspEndpoint(ocsp, hop)

    async def ca_certificate(request: Request) -> Response:
        try:
            authority = await hop(authorities.by_slug, request.path_params["slug"])
        except AuthorityNotFound:
            return Response(status_code=404, headers=_NOT_STORED)
        der = authority.certificate.public_bytes(Encoding.DER)
        headers = {"Cache-Control": f"public, max-age={_CERTIFICATE_MAX_AGE_S}", "ETag": _entity_tag(der)}
        return _conditional(request, Response(der, media_type=CERTIFICATE, headers=headers))

    return [
        Route(OCSP_PATH, endpoint, methods=["POST"]),
        Route(f"{OCSP_PATH}/{{request:path}}", endpoint, methods=["GET"]),
        *crl_routes(crls, hop, clock),
        Route("/pki/ca/{slug}.cer", ca_certificate, methods=["GET"]),
    ]


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
