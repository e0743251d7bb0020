"""What can go wrong between a program and a card, one class for each thing a person is told.

`code` is stable and goes on the wire; `detail` is for logs and support and never holds a PIN, a key or an APDU's data.
"""

from typing import ClassVar


class CardError(Exception):
    """Root of everything that the card, its reader or the reader's driver refuses."""

    code: ClassVar[str] = "card_error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail


class NoReader(CardError):
    """There is no reader, or the service that reaches readers does not run (`detail` says which)."""

    code = "no_reader"


class NoCard(CardError):
    """A reader is there, no card is in it."""

    code = "no_card"


class CardRemoved(CardError):
    """The card was pulled out, or the reader unplugged, in the middle of the work."""

    code = "card_removed"


class WrongCard(CardError):
    """A card that is not the one asked for, or not a PIV card at all."""

    code = "wrong_card"


class CardNotPersonalised(CardError):
    """A PIV card that holds no card number or not the certificate or key that is needed."""

    code = "card_not_personalised"


class CardFault(CardError):
    """The card or reader answered something that no rule of the protocol explains."""

    code = "card_error"


class PinIncorrect(CardError):
    """The PIN was refused. tries_left: what is left before the card blocks; None where the device does not tell."""

    code = "pin_incorrect"

    def __init__(self, tries_left: int | None = None, detail: str = "") -> None:
        super().__init__(detail)
        self.tries_left = tries_left


class PinMalformed(PinIncorrect):
    """The PIN cannot be right (6 to 8 digits are), so it was not sent and no try was spent."""


class PinBlocked(CardError):
    """No tries are left; the PUK unblocks."""

    code = "pin_blocked"


class PinRequired(CardError):
    """The key wants a PIN that has not been verified, or not for this signature."""

    code = "pin_required"


class PukIncorrect(CardError):
    """The PUK was refused."""

    code = "puk_incorrect"

    def __init__(self, tries_left: int | None = None, detail: str = "") -> None:
        super().__init__(detail)
        self.tries_left = tries_left


class PukBlocked(CardError):
    """No tries are left for the PUK: the card can only be replaced."""

    code = "puk_blocked"


class ManagementKeyRefused(CardError):
    """The card does not accept the management key, or could not prove that it knows it."""

    code = "management_key_refused"


class AlreadyPersonalised(CardError):
    """The card belongs to somebody: it holds certificates, and is not overwritten by accident."""

    code = "card_already_personalised"


class WriteNotConfirmed(CardError):
    """What was read back from the card is not what was written."""

    code = "write_not_confirmed"
