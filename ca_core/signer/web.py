"""The port's handlers: a client certificate, a bounded body, one call of the service, JSON back; nothing else."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ca_core.kernel.errors import DomainError
from ca_core.kernel.web.body import parse_json_object, read_body
from ca_core.kernel.web.problem import problem
from ca_core.kernel.web.responses import NO_STORE
from ca_core.kernel.web.security import request_id_of
from ca_core.signer.errors import SignerRequestMalformed
from ca_core.signer.failures import STATUSES, listed
from ca_core.signer.model import Caller, Operation, path_of
from ca_core.signer.service import SignerService
from ca_core.signer.wire import (
    CertificateBody,
    CrlBody,
    CrlRecordBody,
    CrlsAnswer,
    IssueAnswer,
    IssueBody,
    IssueManyAnswer,
    IssueManyBody,
    KeysAnswer,
    NothingBody,
    Outcome,
    RecoveryAnswer,
)

log = structlog.get_logger(__name__)
Body = TypeVar("Body", bound=BaseModel)
_SMALL, _LARGE = 65_536, 8 * 1_048_576
_RETRY_AFTER_S = "1"

Serve = Callable[[SignerService, Caller, bytes, str], BaseModel]


@dataclass(frozen=True, slots=True)
class Offer:
    """An operation with the size of its body and what it does."""

    operation: Operation
    limit: int
    serve: Serve


def _parsed(kind: type[Body], octets: bytes) -> Body:
    try:
        return kind.model_validate(parse_json_object(octets))
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in fault["loc"]) for fault in error.errors(include_input=False)})
        raise SignerRequestMalformed(", ".join(places)[:256]) from error


def _issue(service: SignerService, caller: Caller, octets: bytes, request_id: str) -> BaseModel:
    body = _parsed(IssueBody, octets)
    with _readable():
        request = body.request.to_request()
    return IssueAnswer(certificate=CertificateBody.of(service.issue(caller, request, request_id=request_id)))


def _issue_many(service: SignerService, caller: Caller, octets: bytes, request_id: str) -> BaseModel:
    body = _parsed(IssueManyBody, octets)
    with _readable():
        requests = [one.to_request() for one in body.requests]
    outcomes = service.issue_many(caller, requests, body.lint, request_id=request_id)
    return IssueManyAnswer(
        outcomes=tuple(
            Outcome(error=_code(outcome))
            if isinstance(outcome, DomainError)
            else Outcome(certificate=CertificateBody.of(outcome))
            for outcome in outcomes
        )
    )


def _publish_crl(service: SignerService, _caller: Caller, octets: bytes, _request_id: str) -> BaseModel:
    body = _parsed(CrlBody, octets)
    return CrlsAnswer(published=(CrlRecordBody.of(service.publish(body.authority, body.wanted)),))


def _publish_due(service: SignerService, _caller: Caller, octets: bytes, _request_id: str) -> BaseModel:
    _parsed(NothingBody, octets)
    return CrlsAnswer(published=tuple(CrlRecordBody.of(record) for record in service.publish_due()))


def _recover(service: SignerService, _caller: Caller, octets: bytes, _request_id: str) -> BaseModel:
    _parsed(NothingBody, octets)
    return RecoveryAnswer.of(service.recover())


def _keys(service: SignerService, _caller: Caller, octets: bytes, _request_id: str) -> BaseModel:
    _parsed(NothingBody, octets)
    return KeysAnswer(keys=dict(service.keys()))


OFFERS: tuple[Offer, ...] = (
    Offer(Operation.ISSUE, _SMALL, _issue),
    Offer(Operation.ISSUE_MANY, _LARGE, _issue_many),
    Offer(Operation.PUBLISH_CRL, _SMALL, _publish_crl),
    Offer(Operation.PUBLISH_DUE, _SMALL, _publish_due),
    Offer(Operation.RECOVER, _SMALL, _recover),
    Offer(Operation.KEYS, _SMALL, _keys),
)


def signer_app(
    service: SignerService,
    checks: Mapping[str, Callable[[], object]],
    metrics_text: Callable[[], bytes],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
) -> Starlette:
    """The port. checks: by the dependency's name, for /readyz; one that raises a DomainError is not ready.
    metrics_text: in Prometheus's format."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=NO_STORE)

    async def readyz(_request: Request) -> Response:
        found = await run_in_threadpool(_states, checks)
        ready = all(state == "ok" for state in found.values())
        return _json({"ready": ready, **found}, 200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        return Response(await run_in_threadpool(metrics_text), media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)

    return Starlette(
        routes=[
            *(Route(path_of(offer.operation), _handler(service, offer), methods=["POST"]) for offer in OFFERS),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        exception_handlers={DomainError: _refused, HTTPException: _http, Exception: _unexpected},
        lifespan=lifespan,
    )


def client_certificate(request: Request) -> x509.Certificate | None:
    """What TLS verified the path and possession of; `tls.MutualTlsProtocol` puts it there."""
    chain = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    return x509.load_pem_x509_certificate(chain[0].encode("ascii")) if chain else None


def _handler(service: SignerService, offer: Offer) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        certificate, request_id = client_certificate(request), request_id_of(request)
        caller = await run_in_threadpool(service.caller, certificate, offer.operation, request_id=request_id)
        body = await read_body(request, limit=offer.limit)
        answer = await run_in_threadpool(offer.serve, service, caller, body, request_id)
        return Response(answer.model_dump_json(), media_type="application/json", headers=NO_STORE)

    return handle


@contextmanager
def _readable() -> Iterator[None]:
    """Inside it, a key or request that cannot be read is the caller's mistake."""
    try:
        yield
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise SignerRequestMalformed("a key or certification request that cannot be read") from error


def _states(checks: Mapping[str, Callable[[], object]]) -> dict[str, str]:
    found = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = "ok"
        except DomainError as error:
            found[name] = error.code
    return found


def _code(error: DomainError) -> str:
    kind = listed(error)
    return "server_error" if kind is None else kind.code


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, DomainError):
        raise error
    kind = listed(error)
    status, code = (500, "server_error") if kind is None else (STATUSES[kind], kind.code)
    write = log.warning if status >= 500 else log.info
    write("refused", code=error.code, detail=error.detail, request_id=request_id_of(request))
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else None
    return problem(status, code, title=code, headers=headers, request_id=request_id_of(request) or None)


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request")
    return problem(status, code, title=code, request_id=request_id_of(request) or None)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected", request_id=request_id_of(request), exc_info=error)
    return problem(500, "server_error", title="server_error", request_id=request_id_of(request) or None)


def _json(members: Mapping[str, object], status: int) -> Response:
    return Response(json.dumps(members), status, media_type="application/json", headers=NO_STORE)
