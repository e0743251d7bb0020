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


class CustodianSetRefused(AuthorityError):
    """A set of custodians that breaks a rule. All faults at once, one a line."""

    code = "custodian_set_refused"


class ApprovalRefused(AuthorityError):
    """A signature that is no current custodian's over the file."""

    code = "approval_refused"


class NotApproved(AuthorityError):
    """Too few custodians approved the file; nothing was made."""

    code = "ceremony_not_approved"


class AuthorityNotImported(AuthorityError):
    """An authority that was founded here: what it issues is not changed this way."""

    code = "authority_not_imported"
