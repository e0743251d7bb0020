"""Cards, their keys and their states. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ca_core.cards.errors import CardStateRefused, OrderRefused
from ca_core.keys.model import KeyAlgorithm

_PIN = re.compile(r"[0-9]{6,8}")
_PUK = re.compile(r"[0-9]{8}")


class CardSlot(StrEnum):
    """PIV key references of the three keys of a card. One key, one purpose."""

    AUTHENTICATION = "9A"
    SIGNATURE = "9C"
    ENCRYPTION = "9D"


PROFILES: Final = MappingProxyType(
    {
        CardSlot.AUTHENTICATION: "citizen-authentication",
        CardSlot.SIGNATURE: "citizen-signature",
        CardSlot.ENCRYPTION: "citizen-encryption",
    }
)
OFFERED: Final = frozenset({KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048})
DEFAULT_ALGORITHMS: Final = MappingProxyType(dict.fromkeys(CardSlot, KeyAlgorithm.P_256))


class CardState(StrEnum):
    """personalising -> issued -> active -> replaced; personalising -> failed; issued -> replaced."""

    PERSONALISING = "personalising"
    FAILED = "failed"
    ISSUED = "issued"
    ACTIVE = "active"
    REPLACED = "replaced"


_MAY_FOLLOW: Final = MappingProxyType(
    {
        CardState.PERSONALISING: frozenset({CardState.ISSUED, CardState.FAILED}),
        CardState.FAILED: frozenset[CardState](),
        CardState.ISSUED: frozenset({CardState.ACTIVE, CardState.REPLACED}),
        CardState.ACTIVE: frozenset({CardState.REPLACED}),
        CardState.REPLACED: frozenset[CardState](),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card, or the attempt at one. started_at: when its number was allocated."""

    card_number: str
    person_id: str
    state: CardState
    started_at: datetime
    issued_at: datetime | None = None


def verify_may_follow(present: CardState, wanted: CardState) -> None:
    """Accept iff a card in the present state may come into the wanted one. Raises: CardStateRefused."""
    if wanted not in _MAY_FOLLOW[present]:
        raise CardStateRefused(f"{present} to {wanted}")


def verify_codes(pin: str, puk: str) -> None:
    """Accept a PIN of 6 to 8 digits and a PUK of 8. Raises: OrderRefused, which repeats neither."""
    if not isinstance(pin, str) or not _PIN.fullmatch(pin):
        raise OrderRefused("PIN")
    if not isinstance(puk, str) or not _PUK.fullmatch(puk):
        raise OrderRefused("PUK")


def certificate_request_id(card_number: str, slot: CardSlot) -> str:
    """The idempotency key under which a slot's one certificate is asked for."""
    return f"card:{card_number}:{slot.value}"
