"""The one mapper from OAuth errors to HTTP, for endpoints that programs call."""

from collections.abc import Callable

from starlette.responses import JSONResponse, Response

from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.responses import NO_STORE
from ca_core.kernel.web.whole import Answer, WholeRequest
from idp.oauth.errors import BearerError, InvalidClient, InvalidRequest, OAuthError
from idp.oauth.incidents import Incidents

REALM = "citizenid"


def refusal(incidents: Incidents) -> Callable[[WholeRequest, Exception], Answer]:
    """Every exception answered as an OAuth error, and nothing of it leaked."""

    def refuse(request: WholeRequest, error: Exception) -> Answer:
        if isinstance(error, RequestError):
            refused: OAuthError = InvalidRequest(error.code.replace("_", " "), detail=error.detail)
        else:
            refused = incidents.as_oauth_error(error, request.request_id)
        return Answer.of(error_response(refused))

    return refuse


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
