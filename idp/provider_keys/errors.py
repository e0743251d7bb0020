"""What can be wrong with a token that claims to be ours."""

from ca_core.kernel.errors import DomainError


class NotOurToken(DomainError):
    """Not a JWT, or not signed by a token key of this provider."""

    code = "not_our_token"
