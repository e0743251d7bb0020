"""The one family of errors that relying parties see, by the names the specifications give them.

error: goes on the wire. description: public, ASCII, for the relying party's developers. detail: for logs only.
Sources: RFC 6749 s4.1.2.1 and s5.2, RFC 6750 s3.1, OpenID Connect Core s3.1.2.6, OpenID Connect Unmet
Authentication Requirements 1.0.
"""

from typing import ClassVar

from ca_core.kernel.errors import DomainError


class OAuthError(DomainError):
    """A refusal with an OAuth error code."""

    error: ClassVar[str] = "server_error"
    status: ClassVar[int] = 400
    redirectable: ClassVar[bool] = True  # honoured only once client and redirect_uri verify

    def __init__(self, description: str = "", *, detail: str = "") -> None:
        super().__init__(detail or description)
        self.description = description


class InvalidRequest(OAuthError):
    error = code = "invalid_request"


class UnauthorizedClient(OAuthError):
    error = code = "unauthorized_client"


class AccessDenied(OAuthError):
    error = code = "access_denied"


class UnsupportedResponseType(OAuthError):
    error = code = "unsupported_response_type"


class InvalidScope(OAuthError):
    error = code = "invalid_scope"


class ServerError(OAuthError):
    """Something of ours broke. The description holds an event id and nothing else."""

    error = code = "server_error"
    status = 500


class TemporarilyUnavailable(OAuthError):
    error = code = "temporarily_unavailable"
    status = 503


class LoginRequired(OAuthError):
    error = code = "login_required"


class ConsentRequired(OAuthError):
    error = code = "consent_required"


class RequestNotSupported(OAuthError):
    error = code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    error = code = "request_uri_not_supported"


class RegistrationNotSupported(OAuthError):
    error = code = "registration_not_supported"


class UnmetAuthenticationRequirements(OAuthError):
    error = code = "unmet_authentication_requirements"


class UnknownClient(OAuthError):
    """At the authorization endpoint: shown as a page, never redirected."""

    error = "invalid_client"
    code = "unknown_client"
    redirectable = False


class RedirectUriRefused(OAuthError):
    """Missing, or not one that the client registered: shown as a page, never redirected."""

    error = "invalid_request"
    code = "redirect_uri_refused"
    redirectable = False


class UnreadableRequest(OAuthError):
    """Parameters that cannot be read at all, so that nothing in them may be believed."""

    error = "invalid_request"
    code = "unreadable_request"
    redirectable = False


class InvalidClient(OAuthError):
    """Client authentication failed. basic_challenge: it tried HTTP Basic, so RFC 6749 s5.2 wants a challenge."""

    error = code = "invalid_client"
    status = 401

    def __init__(self, description: str = "", *, detail: str = "", basic_challenge: bool = False) -> None:
        super().__init__(description, detail=detail)
        self.basic_challenge = basic_challenge


class InvalidGrant(OAuthError):
    error = code = "invalid_grant"


class UnsupportedGrantType(OAuthError):
    error = code = "unsupported_grant_type"


class BearerError(OAuthError):
    """A refusal at a resource, answered with `WWW-Authenticate: Bearer`."""

    status = 401


class TokenMissing(BearerError):
    """No authentication information at all: a challenge without an error code (RFC 6750 s3.1)."""

    error = ""
    code = "token_missing"


class BearerInvalidRequest(BearerError):
    error = code = "invalid_request"
    status = 400


class InvalidToken(BearerError):
    error = code = "invalid_token"
