"""The modern API's handlers: parse, call one service, answer."""

import asyncio
import math
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from card_bridge.operations.errors import OperationNotFound, OperationPending, TooSoon
from card_bridge.operations.model import AuthenticationRequest
from card_bridge.operations.service import OperationDesk
from card_bridge.server.body import MAX_JSON_OCTETS, read_json, text_member
from card_bridge.server.errors import MalformedJson, OriginNotAllowed, PageGone
from card_bridge.server.events import PageWatch, operation_events
from card_bridge.server.problem import NO_STORE
from card_bridge.server.statements import StatementSource
from card_bridge.statement.providers import Provider, Providers
from card_bridge.statement.service import StatementVerifier
from card_bridge.web_eid.model import parse_nonce
from card_bridge.web_eid.service import bridge_version

ID_LENGTH = 43
MAX_HOLD_S = 1.0
MIN_HOLD_S = 0.001
LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the API's handlers call."""

    desk: OperationDesk
    providers: Providers
    verifier: StatementVerifier
    source: StatementSource
    own_url: str  # http://127.0.0.1:port, where the consent window lives

    def provider(self, request: Request) -> Provider:
        provider = self.providers.find(request.state.origin)
        if provider is None:
            raise OriginNotAllowed
        return provider


def routes(api: Api) -> list[Route]:
    """/v1/…, all behind ProviderOrigins."""
    watch = PageWatch(api.desk.policy)

    async def status(request: Request) -> Response:
        return JSONResponse({"version": bridge_version(), "pending": api.desk.pending}, headers=NO_STORE)

    async def authenticate(request: Request) -> Response:
        provider = api.provider(request)
        document = _members(await read_json(request), {"challenge_nonce", "statement", "lang"})
        nonce = parse_nonce(text_member(document, "challenge_nonce", required=True, max_length=128) or "")
        compact = text_member(document, "statement", required=False, max_length=MAX_JSON_OCTETS)
        lang = text_member(document, "lang", required=False, max_length=35) or ""
        await _wait_for_turn(api.desk, watch)
        if await request.is_disconnected():
            raise PageGone
        if compact is None:
            compact = await api.source.fetch(provider, nonce)
        verified = api.verifier.verify(compact, challenge_nonce=nonce, provider=provider)
        operation = api.desk.begin(
            AuthenticationRequest(
                origin=provider.origin,
                provider_name=provider.name,
                verified=verified,
                lang="en" if lang.lower().startswith("en") else "zh-TW",
                lifetime_s=min(api.verifier.seconds_left(verified), api.desk.policy.timeout_s),
            )
        )
        watch.expects(operation)
        answer = {
            "operation_id": operation.operation_id,
            "consent_url": f"{api.own_url}/consent/{operation.consent_id}",
            "expires_in": math.floor(operation.request.lifetime_s),
        }
        return JSONResponse(answer, status_code=202, headers=NO_STORE)

    async def events(request: Request) -> Response:
        identifiers = request.query_params.getlist("operation_id")
        if len(identifiers) != 1 or len(identifiers[0]) != ID_LENGTH:
            raise OperationNotFound
        operation = api.desk.find(identifiers[0], request.state.origin)
        if operation.delivered:
            raise OperationNotFound("the outcome was handed out")
        return StreamingResponse(operation_events(operation, watch), media_type="text/event-stream", headers=NO_STORE)

    async def cancel(request: Request) -> Response:
        document = _members(await read_json(request), {"operation_id"})
        identifier = text_member(document, "operation_id", required=True, max_length=ID_LENGTH) or ""
        api.desk.find(identifier, request.state.origin).cancel()
        return Response(status_code=204, headers=NO_STORE)

    return [
        Route("/v1/status", status, methods=["GET"]),
        Route("/v1/authenticate", authenticate, methods=["POST"]),
        Route("/v1/events", events, methods=["GET"]),
        Route("/v1/cancel", cancel, methods=["POST"]),
    ]


async def _wait_for_turn(desk: OperationDesk, watch: PageWatch) -> None:
    """Hold a person's quick second click, or the first one after their last page went away, rather than refuse it.

    Looks again after each sleep: a loop's timers need not agree with the desk's clock to the millisecond.
    Raises: OperationPending, where a page waits for the person; TooSoon.
    """
    loop = asyncio.get_running_loop()
    held_until = loop.time() + desk.policy.page_arrival_s + MAX_HOLD_S
    while True:
        try:
            desk.check_free()
            return
        except TooSoon as error:
            if error.retry_after_s > MAX_HOLD_S or loop.time() > held_until:
                raise
            wait_s = max(error.retry_after_s, MIN_HOLD_S)
        except OperationPending:
            if watch.is_heard() or loop.time() > held_until:
                raise
            wait_s = LOOK_AGAIN_S
        await asyncio.sleep(wait_s)


def _members(document: dict[str, object], allowed: set[str]) -> dict[str, object]:
    if not document.keys() <= allowed:
        raise MalformedJson("a member that this call does not have")
    return document
