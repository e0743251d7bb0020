"""What a card centre orders for one card, and what it gets back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from card_bridge.piv.management import DEFAULT_KEY
from card_bridge.piv.model import KeyAlgorithm, Slot

NEVER: Final = "20991231"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One card.

    again: overwrite a card that is finished already, for one spoilt after its last step.
    """

    card_number: str
    keys: Mapping[Slot, KeyAlgorithm]
    pin: bytes = field(repr=False)
    puk: bytes = field(repr=False)
    management_key: bytes = field(repr=False)
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorySecrets:
    """What a blank card opens with."""

    pin: bytes = field(default=b"123456", repr=False)
    puk: bytes = field(default=b"12345678", repr=False)
    management_key: bytes = field(default=DEFAULT_KEY, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the card held when it was read again."""

    card_number: str
    certificates: Mapping[Slot, bytes]
    management_key_replaced: bool
