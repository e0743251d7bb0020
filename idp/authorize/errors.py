"""What can be wrong with an interaction. Shown to the person as a page; the relying party hears nothing of it."""

from typing import ClassVar

from ca_core.kernel.errors import DomainError


class InteractionError(DomainError):
    """An interaction that cannot go on."""

    code = "interaction_error"
    status: ClassVar[int] = 400


class InteractionNotFound(InteractionError):
    """No such interaction: never begun, or forgotten."""

    code = "interaction_not_found"
    status = 404


class InteractionExpired(InteractionError):
    """Its time is over."""

    code = "interaction_expired"
    status = 410


class WrongBrowser(InteractionError):
    """It was begun in another browser: somebody passed the address on, or tries to."""

    code = "wrong_browser"
    status = 403


class InteractionMovedOn(InteractionError):
    """Another tab or request was faster: it has its answer, or another login, already."""

    code = "interaction_moved_on"
    status = 409


class WrongSession(InteractionError):
    """The login is not the one that answers this interaction, or older than the request allows."""

    code = "wrong_session"
    status = 403
