"""What can go wrong between an order for a card and the card."""

from ca_core.kernel.errors import DomainError


class CardError(DomainError):
    code = "card_error"


class CardNumberMalformed(CardError):
    """Not sixteen digits of this scheme with a right check digit."""

    code = "card_number_malformed"


class CardNotFound(CardError):
    """No card has that number."""

    code = "card_not_found"


class CardStateRefused(CardError):
    """The card's state does not allow the change."""

    code = "card_state_refused"


class OrderRefused(CardError):
    """What was ordered cannot be made: unknown person, PIN or PUK outside the grammar, algorithm not offered."""

    code = "card_order_refused"


class PersonalisationFailed(CardError):
    """The card did not become what was ordered. It has no valid certificate; what was issued for it is revoked."""

    code = "card_personalisation_failed"


class CertificationRequestRefused(PersonalisationFailed):
    """A key's certification request is missing, not signed by that key, of another algorithm, or used twice."""

    code = "card_certification_request_refused"


class ReadBackMismatch(PersonalisationFailed):
    """What the card holds afterwards is not what was written."""

    code = "card_read_back_mismatch"


class PersonalisationOvertaken(PersonalisationFailed):
    """It took so long that the clean-up gave the card up meanwhile."""

    code = "card_personalisation_overtaken"


class StationFault(PersonalisationFailed):
    """The card station reported a fault, or broke its protocol. The detail is the station's code, never a PIN."""

    code = "card_station_fault"


class StationTimeout(StationFault):
    """The card station did not answer in time."""

    code = "card_station_timeout"
