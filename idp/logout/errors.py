"""What a logout request can get wrong."""

from ca_core.kernel.errors import DomainError


class LogoutRefused(DomainError):
    """The request contradicts itself or the registration. Shown to the person; nobody is logged out or redirected."""

    code = "logout_refused"
    status = 400
