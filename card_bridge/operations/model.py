"""What an operation is made of: request, states, cards in sight, the PIN that was entered, the outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from card_bridge.statement.model import LocalText, VerifiedStatement
from card_bridge.web_eid.origin import Origin


class State(StrEnum):
    """Where an operation stands."""

    WAITING_FOR_CARD = "waiting_for_card"
    WAITING_FOR_PIN = "waiting_for_pin"
    SIGNING = "signing"
    ENDED = "ended"


class End(StrEnum):
    """Codes of ends that no card raises; a card's own errors bring theirs."""

    DONE = "done"
    USER_CANCELLED = "user_cancelled"
    TIMED_OUT = "timed_out"
    NO_READER = "no_reader"
    NO_CARD = "no_card"
    CARD_REMOVED = "card_removed"
    CARD_NOT_PERSONALISED = "card_not_personalised"
    WRONG_CARD = "wrong_card"
    PIN_INCORRECT = "pin_incorrect"
    PIN_BLOCKED = "pin_blocked"
    CARD_ERROR = "card_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient and how restrained the bridge is."""

    timeout_s: float = 120.0
    minimum_interval_s: float = 1.0
    page_arrival_s: float = 10.0  # how long a page may take from the answer to listening
    page_grace_s: float = 3.0  # how long it may be away afterwards, before its operation ends
    poll_interval_s: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationRequest:
    """What a pinned provider's page asks, after the statement was verified."""

    origin: Origin
    provider_name: LocalText
    verified: VerifiedStatement
    lang: str
    lifetime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCard:
    """A card that can log in, as it was when it was last read."""

    reader: str
    card_number: str | None
    certificate: bytes = field(repr=False)
    tries_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """All readers at one moment: cards that can log in, or else the reason why there is none."""

    cards: tuple[SeenCard, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinEntry:
    """A PIN for one card; whoever takes it out wipes it."""

    pin: bytearray = field(repr=False)
    card: SeenCard
    knows_last_try: bool

    def wipe(self) -> None:
        for index in range(len(self.pin)):
            self.pin[index] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an operation ended: a token, or a code."""

    code: str
    auth_token: Mapping[str, str] | None = field(default=None, repr=False)
    tries_left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that the consent window shows of an operation at one moment; `revision` changes whenever the rest does."""

    revision: int
    state: State
    cards: tuple[SeenCard, ...]
    trouble: str
    notice: str
    tries_left: int | None
    seconds_left: int
    outcome_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """All that the asking page is told before the end."""

    state: State
    code: str = ""
    tries_left: int | None = None
