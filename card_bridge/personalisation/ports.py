"""What a station needs of a blank card or token; a PIV card and a PKCS#11 soft token stand behind it."""

from contextlib import AbstractContextManager
from typing import Protocol

from card_bridge.personalisation.model import Order
from card_bridge.piv.management import PublicKey
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm, Slot


class Workpiece(Protocol):
    """A card in the station, for this program alone. Every step can be repeated after a loss of power."""

    def card_number(self) -> str | None: ...

    def prepare(self, order: Order) -> None:
        """Claim a blank card, or one that an earlier attempt at this order left unfinished: number, PIN and PUK set,
        the ordered slots without certificates. Raises: AlreadyPersonalised, ManagementKeyRefused."""

    def make_key(self, slot: Slot, algorithm: KeyAlgorithm) -> PublicKey: ...

    def sign(self, order: Order, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        """A raw signature by the slot's new key."""

    def open_for_writing(self, order: Order) -> None:
        """What `write_certificate` needs. Raises: ManagementKeyRefused."""

    def write_certificate(self, slot: Slot, der: bytes) -> None: ...

    def certificate(self, slot: Slot) -> bytes | None: ...

    def finish(self, order: Order) -> bool:
        """Lock the card against whoever knows the factory's key; False for a card that cannot be."""


class Bench(Protocol):
    """Where workpieces lie."""

    def take(self) -> AbstractContextManager[Workpiece]:
        """The one that lies there. Raises: NoReader, NoCard, WrongCard."""
