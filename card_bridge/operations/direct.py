"""One authentication without a page: for the command line, scripts and support."""

from dataclasses import dataclass
from typing import Protocol

from card_bridge.operations.errors import LastTryUnconfirmed, SeveralCards
from card_bridge.operations.model import SeenCard
from card_bridge.operations.removal import removal_recognised
from card_bridge.piv.errors import (
    CardError,
    CardNotPersonalised,
    CardRemoved,
    NoCard,
    NoReader,
    PinBlocked,
    PinIncorrect,
    WrongCard,
)
from card_bridge.piv.ports import CardReaders
from card_bridge.statement.model import VerifiedStatement
from card_bridge.web_eid.model import AuthenticationToken
from card_bridge.web_eid.origin import Origin
from card_bridge.web_eid.service import LOGIN_SLOT, sign_authentication


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRequest:
    """verified: the statement behind the nonce; None only for an origin that no pinned provider has."""

    origin: Origin
    challenge_nonce: str
    verified: VerifiedStatement | None
    card_number: str | None = None
    reader: str | None = None


class PinPrompt(Protocol):
    """Asks the person, on a terminal or through a program."""

    may_repeat: bool

    def ask(self, request: DirectRequest, *, tries_left: int | None, refused: bool) -> bytearray:
        """The PIN. `refused`: the one before was wrong. Raises: BridgeError if the person gives none."""

    def confirm_last_try(self) -> bool:
        """Whether the person knows that one try is left."""


def authenticate(readers: CardReaders, request: DirectRequest, prompt: PinPrompt) -> AuthenticationToken:
    """A token by the one card that fits. Waits for nothing; a prompt that may repeat is asked again after a wrong PIN.

    Raises: CardError, SeveralCards, LastTryUnconfirmed, what the prompt raises.
    """
    card = _choose(readers, request)
    tries_left, refused = card.tries_left, False
    while True:
        if tries_left == 0:
            raise PinBlocked
        if tries_left == 1 and not prompt.confirm_last_try():
            raise LastTryUnconfirmed
        pin = prompt.ask(request, tries_left=tries_left, refused=refused)
        try:
            return _sign(readers, request, card, pin)
        except PinIncorrect as error:
            if error.tries_left == 0:
                raise PinBlocked from error
            if not prompt.may_repeat:
                raise
            tries_left, refused = error.tries_left if error.tries_left is not None else tries_left, True
        finally:
            pin[:] = bytes(len(pin))


def _choose(readers: CardReaders, request: DirectRequest) -> SeenCard:
    """The card asked for, or the only one that can log in; else the error that says most about why there is none."""
    states = [state for state in readers.list() if state.is_meant_by(request.reader)]
    if not states:
        raise NoReader
    seen: list[SeenCard] = []
    failures: list[CardError] = []
    for state in states:
        if state.card_present:
            try:
                seen.append(_see(readers, state.name))
            except CardError as error:
                failures.append(error)
    if request.card_number is not None and seen:
        seen = [card for card in seen if card.card_number == request.card_number]
        if not seen:
            raise WrongCard
    if len(seen) > 1:
        raise SeveralCards
    if seen:
        return seen[0]
    telling = [error for error in failures if not isinstance(error, (NoCard, CardRemoved))]
    raise (telling or [NoCard()])[0]


def _see(readers: CardReaders, reader: str) -> SeenCard:
    with readers.connect(reader) as card:
        certificate = card.certificate(LOGIN_SLOT)
        if certificate is None:
            raise CardNotPersonalised
        return SeenCard(
            reader=reader,
            card_number=card.card_number(),
            certificate=certificate,
            tries_left=card.pin_tries_left(),
        )


def _sign(readers: CardReaders, request: DirectRequest, seen: SeenCard, pin: bytearray) -> AuthenticationToken:
    with removal_recognised(readers, seen.reader), readers.connect(seen.reader) as card:
        if card.certificate(LOGIN_SLOT) != seen.certificate:
            raise CardRemoved("another card is in the reader now")
        card.verify_pin(pin)
        return sign_authentication(
            card,
            certificate=seen.certificate,
            origin=request.origin,
            challenge_nonce=request.challenge_nonce,
        )
