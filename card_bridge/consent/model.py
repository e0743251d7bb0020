"""What the window shows of an operation, worked out without a template in sight."""

from dataclasses import dataclass
from enum import StrEnum

from card_bridge.operations.model import End, Snapshot, State

KNOWN_CLAIMS = frozenset(
    {
        "sub", "name", "birthdate", "gender", "age_over_18", "age_over_20", "age_over_65", "national_id",
        "national_id_last4", "email", "email_verified", "phone_number", "phone_number_verified", "certificate",
        "certificate_serial", "revocation",
    }
)  # fmt: skip


class View(StrEnum):
    """Which of the window's faces is up."""

    CARD = "card"
    PIN = "pin"
    SIGNING = "signing"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardChoice:
    index: int
    reader: str
    number_end: str  # last four digits, empty if the card has no number


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowView:
    """A snapshot, ready to be put into words."""

    view: View
    revision: int
    trouble: str
    notice: str
    tries_left: int | None
    is_last_try: bool
    choices: tuple[CardChoice, ...]  # only where there is something to choose
    seconds_left: int
    outcome_code: str


def view_of(snapshot: Snapshot, *, notice: str = "") -> WindowView:
    """The window for a snapshot; `notice` is what was wrong with the form that was just sent."""
    view = {
        State.WAITING_FOR_CARD: View.CARD,
        State.WAITING_FOR_PIN: View.PIN,
        State.SIGNING: View.SIGNING,
        State.ENDED: View.ENDED,
    }[snapshot.state]
    choices = tuple(
        CardChoice(index=index, reader=card.reader, number_end=(card.card_number or "")[-4:])
        for index, card in enumerate(snapshot.cards)
    )
    return WindowView(
        view=view,
        revision=snapshot.revision,
        trouble=snapshot.trouble or End.NO_CARD if view is View.CARD else "",
        notice=(notice or snapshot.notice) if view is View.PIN else "",
        tries_left=snapshot.tries_left if len(choices) == 1 else None,
        is_last_try=any(card.tries_left == 1 for card in snapshot.cards),
        choices=choices if len(choices) > 1 else (),
        seconds_left=snapshot.seconds_left,
        outcome_code=snapshot.outcome_code,
    )


def claim_key(claim: str) -> str:
    """The catalogue's key for a claim that it knows; empty for others, which are shown as they are."""
    return f"claim.{claim}" if claim in KNOWN_CLAIMS else ""
