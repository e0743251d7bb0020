"""What the rest of the bridge needs of a card and its reader; PC/SC, PKCS#11 and fakes stand behind it.

Hold a connection only for a moment: while it is open no other program reaches the card. To ask a person for the PIN,
read what is needed, leave the `with` block, ask, connect again, compare the card number, verify and sign.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from card_bridge.piv.model import ReaderState, SignatureAlgorithm, Slot


class Card(Protocol):
    """A card that nobody else can talk to until the connection ends.

    Every method may raise CardRemoved or CardFault.
    """

    def card_number(self) -> str | None:
        """The 16 digits of the card's CHUID; None for a card that is not one of ours."""

    def certificate(self, slot: Slot) -> bytes | None:
        """The slot's certificate in DER, untrusted; None for an empty slot."""

    def pin_tries_left(self) -> int | None:
        """Tries before the PIN blocks, 0 when it is blocked; None where the device does not tell."""

    def verify_pin(self, pin: bytearray) -> None:
        """Unlock the keys for this connection, and wipe `pin` whatever happens.

        Raises: PinIncorrect (tries_left), PinMalformed (nothing was spent), PinBlocked.
        """

    def sign(self, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        """A raw signature: r || s, or RSA PKCS#1 v1.5. 9C wants `verify_pin` before each signature.

        digest: of the algorithm's own hash (`algorithm.digest_size` octets). Raises: PinRequired, CardNotPersonalised.
        """


class CardReaders(Protocol):
    """All readers of this computer."""

    def list(self) -> Sequence[ReaderState]:
        """The readers in the driver's order; empty when there is none. Raises: NoReader with a detail when the
        service that reaches readers is not there."""

    def connect(self, reader_name: str) -> AbstractContextManager[Card]:
        """The card in that reader, for this program alone until the block ends; the PIN is forgotten then.

        Raises: NoReader, NoCard, WrongCard (not a PIV card).
        """
