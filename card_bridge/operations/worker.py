"""The thread that works the card for one operation: looks, waits for the PIN, signs."""

import logging

from card_bridge.errors import BridgeError
from card_bridge.operations.model import End, Outcome, PinEntry, SeenCard, Sighting
from card_bridge.operations.operation import Operation
from card_bridge.operations.removal import removal_recognised
from card_bridge.piv.errors import (
    CardError,
    CardFault,
    CardNotPersonalised,
    CardRemoved,
    NoCard,
    NoReader,
    PinBlocked,
    PinIncorrect,
    PinMalformed,
    WrongCard,
)
from card_bridge.piv.model import ReaderState
from card_bridge.piv.ports import Card, CardReaders
from card_bridge.web_eid.service import LOGIN_SLOT, sign_authentication

log = logging.getLogger(__name__)
_PASSING = (End.NO_CARD, End.CARD_ERROR)  # of a card that is there: it may just be powering up, so look again


class CardWorker:
    """Works any number of operations, one `run` each, in the caller's thread."""

    def __init__(self, readers: CardReaders, *, reader: str | None, poll_interval_s: float) -> None:
        self._readers = readers
        self._reader = reader
        self._poll_interval_s = poll_interval_s

    def run(self, operation: Operation) -> None:
        """Until the operation has ended. Raises nothing: every failure becomes the operation's end."""
        try:
            self._run(operation)
        except CardError as error:
            log.warning("the card ended the operation: %s (%s)", error.code, error.detail)
            operation.finish(Outcome(code=error.code, tries_left=getattr(error, "tries_left", None)))
        except Exception:
            log.exception("the operation failed")
            operation.finish(Outcome(code=End.CARD_ERROR))

    def _run(self, operation: Operation) -> None:
        last_states: list[ReaderState] | None = None
        looked = settled = False
        while not operation.has_ended():
            operation.expire_if_due()
            states = self._reader_states()
            is_new = states != last_states or not looked
            if is_new or not settled:
                sighting, passing = self._look_at(states)
                if not passing or not (settled or is_new):
                    operation.show(sighting)
                looked, settled = True, not passing
                last_states = states
            entry = operation.await_entry(self._poll_interval_s)
            if entry is not None:
                try:
                    self._sign(operation, entry)
                finally:
                    entry.wipe()

    def _reader_states(self) -> list[ReaderState] | None:
        """None where the reader service itself is at fault: it may be, while a reader or card comes or goes."""
        try:
            states = list(self._readers.list())
        except NoReader:
            return []
        except CardError as error:
            log.warning("the readers do not answer: %s (%s)", error.code, error.detail)
            return None
        return [state for state in states if state.is_meant_by(self._reader)]

    def _look_at(self, states: list[ReaderState] | None) -> tuple[Sighting, bool]:
        """What there is, and whether that may have changed a moment later."""
        if states is None:
            return Sighting(trouble=End.CARD_ERROR), True
        sighting = self._look(states)
        return sighting, sighting.trouble in _PASSING and any(state.card_present for state in states)

    def _look(self, states: list[ReaderState]) -> Sighting:
        """What can log in now; else why nothing can, the most telling reason first."""
        if not states:
            return Sighting(trouble=End.NO_READER)
        cards: list[SeenCard] = []
        troubles: list[str] = []
        for state in states:
            if state.card_present:
                try:
                    cards.append(self._see(state.name))
                except CardError as error:
                    log.info("reader %r: %s (%s)", state.name, error.code, error.detail)
                    troubles.append(_trouble_of(error))
        if cards:
            return Sighting(cards=tuple(cards))
        order = (End.PIN_BLOCKED, End.CARD_NOT_PERSONALISED, End.CARD_ERROR, End.NO_CARD)
        return Sighting(trouble=next((trouble for trouble in order if trouble in troubles), End.NO_CARD))

    def _see(self, reader: str) -> SeenCard:
        with self._readers.connect(reader) as card:
            certificate = card.certificate(LOGIN_SLOT)
            if certificate is None:
                raise CardNotPersonalised("no authentication certificate")
            seen = SeenCard(
                reader=reader,
                card_number=card.card_number(),
                certificate=certificate,
                tries_left=card.pin_tries_left(),
            )
        if seen.tries_left == 0:
            raise PinBlocked
        return seen

    def _sign(self, operation: Operation, entry: PinEntry) -> None:
        """Verify and sign in one connection, with the card that the person saw."""
        try:
            with (
                removal_recognised(self._readers, entry.card.reader),
                self._readers.connect(entry.card.reader) as card,
            ):
                outcome = self._sign_with(card, operation, entry)
        except PinMalformed as error:
            again = error.tries_left if error.tries_left is not None else entry.card.tries_left
            operation.ask_again(_with_tries(entry.card, again), notice="pin_malformed", tries_left=again)
            return
        except PinIncorrect as error:
            if error.tries_left == 0:
                raise PinBlocked from error
            operation.ask_again(
                _with_tries(entry.card, error.tries_left), notice=error.code, tries_left=error.tries_left
            )
            return
        except BridgeError as error:
            raise CardFault(error.detail) from error
        if outcome is not None:
            operation.finish(outcome)

    def _sign_with(self, card: Card, operation: Operation, entry: PinEntry) -> Outcome | None:
        if card.certificate(LOGIN_SLOT) != entry.card.certificate:
            raise CardRemoved("another card is in the reader than the one the PIN was entered for")
        tries_left = card.pin_tries_left()
        if tries_left == 0:
            raise PinBlocked
        if tries_left == 1 and not entry.knows_last_try:
            operation.ask_again(_with_tries(entry.card, 1), notice="last_try_unconfirmed", tries_left=1)
            return None
        if operation.has_ended():
            return None
        card.verify_pin(entry.pin)
        if operation.has_ended():
            return None
        token = sign_authentication(
            card,
            certificate=entry.card.certificate,
            origin=operation.request.origin,
            challenge_nonce=operation.request.verified.challenge_nonce,
        )
        return Outcome(code=End.DONE, auth_token=token.to_wire())


def _with_tries(card: SeenCard, tries_left: int | None) -> Sighting:
    """The card the person chose, alone, with what is left on it."""
    return Sighting(
        cards=(
            SeenCard(
                reader=card.reader,
                card_number=card.card_number,
                certificate=card.certificate,
                tries_left=tries_left,
            ),
        )
    )


def _trouble_of(error: CardError) -> str:
    match error:
        case CardRemoved() | NoCard() | NoReader():
            return End.NO_CARD
        case CardNotPersonalised() | WrongCard():
            return End.CARD_NOT_PERSONALISED
        case PinBlocked():
            return End.PIN_BLOCKED
        case _:
            return End.CARD_ERROR
