"""Errors as problem details (RFC 9457), with a stable code."""

import json
import logging
import math
from collections.abc import Mapping

from starlette.responses import Response

from card_bridge.errors import BridgeError
from card_bridge.operations.errors import TooSoon
from card_bridge.server.errors import RequestRefused

log = logging.getLogger(__name__)
NO_STORE = {"Cache-Control": "no-store"}
STATUS_BY_CODE = {
    "statement_invalid": 400,
    "statement_expired": 400,
    "statement_mismatch": 400,
    "statement_unavailable": 502,
    "origin_mismatch": 400,
    "nonce_malformed": 400,
    "operation_pending": 409,
    "too_soon": 429,
    "operation_not_found": 404,
}
TITLES = {
    "origin_not_allowed": "This site is not among the providers that the card bridge knows.",
    "header_missing": "The request lacks the X-Card-Bridge header.",
    "operation_pending": "The card bridge is waiting for the person in another window.",
    "too_soon": "The last request ended a moment ago.",
    "statement_invalid": "The statement is not one that the provider signed.",
    "statement_expired": "The statement's time is over, or this computer's clock is wrong.",
    "statement_mismatch": "The challenge nonce is not this statement's.",
    "statement_unavailable": "The provider did not hand out the statement.",
    "origin_mismatch": "The statement was made for another site.",
}


def problem(status: int, code: str, headers: Mapping[str, str] | None = None, **members: object) -> Response:
    """An application/problem+json answer."""
    body = {"type": "about:blank", "title": TITLES.get(code, code.replace("_", " ")), "status": status, "code": code}
    return Response(
        json.dumps(body | {name: value for name, value in members.items() if value}),
        status_code=status,
        media_type="application/problem+json",
        headers={**NO_STORE, **(headers or {})},
    )


def problem_of(error: BridgeError) -> Response:
    """The answer to a broken rule; its detail goes to the log alone."""
    status = error.status if isinstance(error, RequestRefused) else STATUS_BY_CODE.get(error.code, 400)
    log.info("refused with %d %s: %s", status, error.code, error)
    headers = {"Retry-After": str(math.ceil(error.retry_after_s))} if isinstance(error, TooSoon) else None
    return problem(status, error.code, headers, reason=error.reason)
