"""What can be refused about authorities and ceremonies."""

from ca_core.kernel.errors import DomainError


class AuthorityError(DomainError):
    code = "authority_error"


class AuthorityNotFound(AuthorityError):
    """No authority has that slug or id, or it has no certificate yet."""

    code = "authority_not_found"


class AuthorityExists(AuthorityError):
    """An authority (or a key) of that name exists already; nothing was made."""

    code = "authority_exists"


class CeremonyRefused(AuthorityError):
    """A ceremony file that breaks a rule. All faults at once, one a line."""

    code = "ceremony_refused"


class CeremonyAlreadyHeld(AuthorityError):
    """This very file was carried out already; nothing was made."""

    code = "ceremony_already_held"
