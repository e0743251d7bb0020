"""Why the consent window does not open, or does not take a form."""

from card_bridge.server.errors import RequestRefused


class WindowClaimed(RequestRefused):
    """Another browser opened this window first."""

    code = "consent_elsewhere"
    status = 403


class WindowGone(RequestRefused):
    """The request that this window belonged to is over."""

    code = "consent_gone"
    status = 404


class FormForged(RequestRefused):
    """The form does not come from the page that this window showed."""

    code = "form_forged"
    status = 403
