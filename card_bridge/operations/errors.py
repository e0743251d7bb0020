"""Why an operation does not begin, or does not take what a person or page sends."""

from card_bridge.errors import BridgeError


class OperationPending(BridgeError):
    """Another operation waits for the person; two windows would be one too many to tell apart."""

    code = "operation_pending"


class TooSoon(BridgeError):
    """The last operation ended less than the minimum interval ago."""

    code = "too_soon"

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class OperationNotFound(BridgeError):
    """No such operation, or not of this origin, or its result was handed out already."""

    code = "operation_not_found"


class NotWaitingForPin(BridgeError):
    """A PIN came when none was asked for; it is wiped."""

    code = "not_waiting_for_pin"


class CardNotChosen(BridgeError):
    """Two usable cards are there and the person has named neither."""

    code = "card_not_chosen"


class LastTryUnconfirmed(BridgeError):
    """One try is left, and the person has not said that they know."""

    code = "last_try_unconfirmed"


class PinEmpty(BridgeError):
    """No PIN was entered."""

    code = "pin_empty"


class SeveralCards(BridgeError):
    """More than one usable card is there and the command line named none."""

    code = "several_cards"


class AskpassFailed(BridgeError):
    """The askpass program ended without a PIN."""

    code = "askpass_failed"


class NoTerminal(BridgeError):
    """Nobody is there to be asked."""

    code = "no_terminal"
