"""One operation, shared by the page's event stream, the person's window and the thread that works the card.

Every method takes the lock; none calls out while it holds it. What the page may learn is decided here: until the
person has acted in the bridge's own window it hears `waiting_for_pin`, whatever readers and cards there are.
"""

import threading
from collections.abc import Callable

from card_bridge.clock import Monotonic
from card_bridge.operations.errors import CardNotChosen, LastTryUnconfirmed, NotWaitingForPin, PinEmpty
from card_bridge.operations.model import (
    AuthenticationRequest,
    End,
    Outcome,
    PageState,
    PinEntry,
    Sighting,
    Snapshot,
    State,
)

STUCK_CARD_GRACE_S = 10.0
REPORTABLE_TROUBLE = frozenset(
    {End.NO_READER, End.NO_CARD, End.CARD_REMOVED, End.CARD_NOT_PERSONALISED, End.PIN_BLOCKED, End.CARD_ERROR}
)


class Operation:
    """Made by the desk, ended exactly once, its outcome handed to the page at most once."""

    def __init__(
        self, request: AuthenticationRequest, *, operation_id: str, consent_id: str, monotonic: Monotonic
    ) -> None:
        self.request = request
        self.operation_id = operation_id
        self.consent_id = consent_id
        self._monotonic = monotonic
        self._deadline = monotonic() + request.lifetime_s
        self._condition = threading.Condition()
        self._state = State.WAITING_FOR_CARD
        self._sighting = Sighting()
        self._notice = ""
        self._tries_left: int | None = None
        self._consented = False
        self._entry: PinEntry | None = None
        self._outcome: Outcome | None = None
        self._delivered = False
        self._revision = 0
        self._listeners: list[Callable[[], None]] = []
        self.ended_at: float | None = None

    # --- read

    def snapshot(self) -> Snapshot:
        """What the consent window shows now."""
        with self._condition:
            return Snapshot(
                revision=self._revision,
                state=self._state,
                cards=self._sighting.cards,
                trouble=self._sighting.trouble,
                notice=self._notice,
                tries_left=self._tries_left,
                seconds_left=max(0, round(self._deadline - self._monotonic())),
                outcome_code=self._outcome.code if self._outcome else "",
            )

    def page_state(self) -> PageState:
        """What the asking page is told now; nothing about readers and cards before the person has acted."""
        with self._condition:
            if not self._consented:
                return PageState(state=State.WAITING_FOR_PIN)
            if self._state is State.WAITING_FOR_PIN and self._notice == End.PIN_INCORRECT:
                return PageState(state=self._state, code=self._notice, tries_left=self._tries_left)
            return PageState(state=self._state)

    def has_ended(self) -> bool:
        with self._condition:
            return self._outcome is not None

    def take_outcome(self) -> Outcome | None:
        """The outcome, to the first caller after the end; None before it and ever after."""
        with self._condition:
            if self._outcome is None or self._delivered:
                return None
            self._delivered = True
            return self._outcome

    @property
    def delivered(self) -> bool:
        with self._condition:
            return self._delivered

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener`, from whatever thread, after each change. It must not block or call back."""
        with self._condition:
            self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        with self._condition:
            self._listeners.remove(listener)

    # --- the person

    def submit(self, pin: bytearray, *, card_index: int | None, knows_last_try: bool) -> None:
        """Take a PIN from the bridge's own window. From here on the page learns how things stand.

        Raises: PinEmpty, CardNotChosen, LastTryUnconfirmed (nothing is spent), NotWaitingForPin; the PIN is wiped then.
        """
        with self._condition:
            try:
                entry = self._accept(pin, card_index, knows_last_try)
            except Exception:
                pin[:] = bytes(len(pin))
                raise
            self._entry = entry
            self._changed(state=State.SIGNING)

    def _accept(self, pin: bytearray, card_index: int | None, knows_last_try: bool) -> PinEntry:
        if self._outcome is not None or self._state is State.SIGNING:
            raise NotWaitingForPin
        self._consented = True
        if self._state is State.WAITING_FOR_CARD:
            if self._sighting.trouble == End.CARD_REMOVED:
                self._end(Outcome(code=End.CARD_REMOVED, tries_left=self._tries_left))
            raise NotWaitingForPin
        if not pin:
            raise PinEmpty
        cards = self._sighting.cards
        if card_index is None and len(cards) == 1:
            card_index = 0
        if card_index is None or not 0 <= card_index < len(cards):
            raise CardNotChosen
        if cards[card_index].tries_left == 1 and not knows_last_try:
            raise LastTryUnconfirmed
        return PinEntry(pin=pin, card=cards[card_index], knows_last_try=knows_last_try)

    def report(self) -> None:
        """The person ends it and lets the page know what is missing."""
        with self._condition:
            trouble = self._sighting.trouble
            code = trouble if trouble in REPORTABLE_TROUBLE else End.USER_CANCELLED
            self._consented = True
            self._end(Outcome(code=code, tries_left=self._tries_left))

    def cancel(self) -> None:
        """The person or the page ends it; a signature that a card is making is dropped."""
        with self._condition:
            self._end(Outcome(code=End.USER_CANCELLED, tries_left=self._tries_left))

    # --- the card's thread

    def show(self, sighting: Sighting) -> None:
        """Tell what is in the readers. A card pulled out after the person has consented ends the operation."""
        with self._condition:
            if self._outcome is not None or sighting == self._sighting:
                return
            had_cards = bool(self._sighting.cards) or self._sighting.trouble == End.CARD_REMOVED
            if had_cards and not sighting.cards and sighting.trouble in (End.NO_CARD, End.NO_READER):
                if self._consented:
                    self._end(Outcome(code=End.CARD_REMOVED, tries_left=self._tries_left))
                    return
                sighting = Sighting(trouble=End.CARD_REMOVED)
                if sighting == self._sighting:
                    return
            if self._consented and sighting.trouble == End.PIN_BLOCKED:
                self._end(Outcome(code=End.PIN_BLOCKED, tries_left=0))
                return
            if not sighting.cards:
                self._notice = ""
            self._sighting = sighting
            self._tries_left = sighting.cards[0].tries_left if len(sighting.cards) == 1 else None
            self._changed(state=State.WAITING_FOR_PIN if sighting.cards else State.WAITING_FOR_CARD)

    def await_entry(self, timeout_s: float) -> PinEntry | None:
        """The PIN that the person entered, once; None after `timeout_s` or at the end."""
        with self._condition:
            if self._entry is None and self._outcome is None:
                self._condition.wait(timeout_s)
            entry, self._entry = self._entry, None
            if entry is not None and self._outcome is not None:
                entry.wipe()
                return None
            return entry

    def ask_again(self, sighting: Sighting, *, notice: str, tries_left: int | None) -> None:
        """The PIN was not taken: back to the person, who is told why and what is left."""
        with self._condition:
            if self._outcome is None:
                self._sighting = sighting
                self._notice = notice
                self._tries_left = tries_left
                self._changed(state=State.WAITING_FOR_PIN)

    def finish(self, outcome: Outcome) -> None:
        """The end, unless there was one already."""
        with self._condition:
            self._end(outcome)

    def expire_if_due(self) -> None:
        """End it when its time is over. A card that is signing gets some seconds more."""
        with self._condition:
            overdue = self._monotonic() - self._deadline
            if self._outcome is not None or overdue < 0:
                return
            if self._state is State.SIGNING:
                if overdue >= STUCK_CARD_GRACE_S:
                    self._end(Outcome(code=End.CARD_ERROR))
                return
            trouble = self._sighting.trouble
            known = self._consented and trouble in REPORTABLE_TROUBLE
            self._end(Outcome(code=trouble if known else End.TIMED_OUT, tries_left=self._tries_left))

    # --- under the lock

    def _end(self, outcome: Outcome) -> None:
        if self._outcome is not None:
            return
        if not self._consented and outcome.tries_left is not None:
            outcome = Outcome(code=outcome.code)  # the page has not been allowed to know that there is a card
        self._outcome = outcome
        if self._entry is not None:
            self._entry.wipe()
            self._entry = None
        self.ended_at = self._monotonic()
        self._changed(state=State.ENDED)

    def _changed(self, *, state: State | None = None) -> None:
        if state is not None:
            self._state = state
        self._revision += 1
        self._condition.notify_all()
        for listener in self._listeners:
            listener()
