"""What is raised past a handler becomes an answer: a page for a person, problem details for a program."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ca_core.kernel.errors import Conflict, DomainError, Unavailable
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.problem import problem
from ca_core.kernel.web.security import request_id_of

log = structlog.get_logger(__name__)
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
_RETRY_AFTER_S = "5"


class Failures:
    """The exception handlers of a Starlette app: `Starlette(exception_handlers=failures.handlers())`.

    An error's texts are `error.<code>.title` and `.message`; its HTTP status is the class's own `status`. A family that
    answers in its own form (OAuth) registers its own handler for its own root beside these. Starlette runs the handler
    of Exception outside every middleware: wrap the whole app, `RequestId(SecurityHeaders(app))`.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def handlers(self) -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
        return {DomainError: self.domain_error, HTTPException: self.http_exception, Exception: self.unexpected}

    async def domain_error(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, DomainError):
            raise error
        status = _status_of(error)
        write = log.warning if status >= 500 else log.info
        write("refused", code=error.code, detail=error.detail, request_id=request_id_of(request))
        return self.answer(request, status, error.code)

    async def http_exception(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        code = _HTTP_CODES.get(error.status_code, "invalid_request")
        response = self.answer(request, error.status_code, code)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    async def unexpected(self, request: Request, error: Exception) -> Response:
        log.error("unexpected", request_id=request_id_of(request), exc_info=error)
        return self.answer(request, 500, "server_error")

    def answer(self, request: Request, status: int, code: str) -> Response:
        """The error by its code: HTML where the request accepts it, else problem details."""
        t = self._pages.translator(request)
        title, message = t.error(code)
        if "text/html" in request.headers.get("accept", ""):
            response: Response = self._pages.render(
                request,
                "message.html",
                status=status,
                kind="error",
                title=title,
                message=message,
                code=code,
                actions=(),
            )
        else:
            response = problem(status, code, title=title, detail=message, request_id=request_id_of(request) or None)
        if status == 503:
            response.headers["Retry-After"] = _RETRY_AFTER_S
        return response


def _status_of(error: DomainError) -> int:
    if isinstance(error, Unavailable):
        return 503
    if isinstance(error, Conflict):
        return 409
    status = getattr(type(error), "status", 500)
    return status if isinstance(status, int) else 500
