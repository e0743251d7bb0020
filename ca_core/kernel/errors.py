"""The root of all errors that a rule of ours raises."""

from typing import ClassVar


class DomainError(Exception):
    """A broken rule. Each surface has one family below this and one mapper from it to the wire.

    code: stable, goes on the wire, and names the public text in the message catalogues.
    detail: for logs only; never on the wire, and never holds a secret or a national ID.
    """

    code: ClassVar[str] = "server_error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail


class Conflict(DomainError):
    """A row that must be unique exists already."""

    code = "conflict"


class Unavailable(DomainError):
    """The database (or an HSM) cannot be asked now; the same call may pass later."""

    code = "temporarily_unavailable"


class DatabaseRefused(DomainError):
    """The database refuses a statement, and will again until somebody mends it: a trigger, a privilege, a value that it
    cannot hold, a schema that is not this code's. Never what a caller did wrong."""


class ConfigurationError(DomainError):
    """What the start needs is missing or contradicts itself. All faults at once, one a line."""

    code = "configuration_error"
