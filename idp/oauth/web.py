"""The one mapper from OAuth errors to HTTP, for endpoints that programs call."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.responses import NO_STORE
from ca_core.kernel.web.security import request_id_of
from idp.oauth.errors import BearerError, InvalidClient, InvalidRequest, OAuthError
from idp.oauth.incidents import Incidents

Handler = Callable[[Request], Awaitable[Response]]

REALM = "citizenid"


def guarded(handler: Handler, incidents: Incidents) -> Handler:
    """The handler, with every exception answered as an OAuth error and nothing of it leaked."""

    async def guard(request: Request) -> Response:
        try:
            return await handler(request)
        except RequestError as error:
            return error_response(InvalidRequest(error.code.replace("_", " "), detail=error.detail))
        except Exception as error:  # noqa: BLE001  the surface's last line: logged whole, answered as server_error
            return error_response(incidents.as_oauth_error(error, request_id_of(request)))

    return guard


def error_response(error: OAuthError) -> Response:
    """JSON with `error` and `error_description`, the status, and the challenge that the status asks for."""
    headers = dict(NO_STORE)
    if isinstance(error, BearerError):
        headers["WWW-Authenticate"] = _bearer_challenge(error)
    elif isinstance(error, InvalidClient) and error.basic_challenge:
        headers["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
    if error.status == 503:
        headers["Retry-After"] = "5"
    if not error.error:
        return Response(status_code=error.status, headers=headers)
    body = {"error": error.error}
    if error.description:
        body["error_description"] = error.description
    return JSONResponse(body, status_code=error.status, headers=headers)


def _bearer_challenge(error: BearerError) -> str:
    parts = [f'Bearer realm="{REALM}"']
    if error.error:
        parts.append(f'error="{error.error}"')
        if error.description:
            parts.append(f'error_description="{error.description}"')
    return ", ".join(parts)
