"""What is wrong with an order rather than with a card."""

from card_bridge.piv.errors import CardError


class BadRequest(CardError):
    """A line that is no order, or one out of turn."""

    code = "bad_request"


class CertificateMismatch(CardError):
    """A certificate for a key that this card did not make."""

    code = "certificate_mismatch"
