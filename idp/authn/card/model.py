"""What a card login is worth, what it yields, and what a page may report about the bridge."""

from dataclasses import dataclass
from typing import Final

from idp.authorize.model import ConsentNeeded, Redirect
from idp.sessions.model import Session

METHOD: Final = "card"
AMR: Final = ("sc", "pin")
"""RFC 8176: a smart card, and its PIN (the card signs with this key only after it)."""
MAX_TRIES: Final = 15

REPORTED_CODES: Final = frozenset(
    {
        # the card and its reader
        "no_reader",
        "no_card",
        "card_removed",
        "wrong_card",
        "card_not_personalised",
        "pin_incorrect",
        "pin_blocked",
        "user_cancelled",
        "timed_out",
        "card_error",
        # the bridge's refusals
        "origin_not_allowed",
        "origin_mismatch",
        "statement_invalid",
        "statement_expired",
        "statement_mismatch",
        "operation_pending",
        "too_soon",
        # what the page itself finds
        "bridge_unreachable",
        "local_network_denied",
        "bridge_failed",
    }
)
"""Everything that the page may report: one text each, `error.<code>.*`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLogin:
    """A login that was accepted and recorded.

    session_token: for the browser's cookie; this is the only time it is known. next: where the browser goes.
    """

    session: Session
    session_token: str
    next: Redirect | ConsentNeeded
