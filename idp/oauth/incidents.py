"""Exceptions that nobody expected: one log line with an id, and that id alone for whoever asked."""

import structlog

from ca_core.kernel.errors import Unavailable
from ca_core.kernel.rng import Rng, random_token
from idp.oauth.errors import OAuthError, ServerError, TemporarilyUnavailable

log = structlog.get_logger(__name__)


class Incidents:
    """Turns any exception into an OAuthError that may be shown."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng

    def as_oauth_error(self, error: Exception, request_id: str) -> OAuthError:
        """An OAuthError as it is; a database that is away as temporarily_unavailable; all else as server_error."""
        if isinstance(error, OAuthError):
            return error
        event_id = random_token(self._rng, 9)
        if isinstance(error, Unavailable):
            log.warning("unavailable", event_id=event_id, request_id=request_id, detail=error.detail)
            return TemporarilyUnavailable("please try again")
        log.error("unexpected", event_id=event_id, request_id=request_id, exc_info=error)
        return ServerError(f"event {event_id}")
