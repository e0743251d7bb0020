"""What the protocol code needs from outside: something that carries octets to a card and back."""

from typing import Protocol

from card_bridge.apdu.model import CommandApdu, ResponseApdu


class Transport(Protocol):
    """A card at the other end of a wire, socket or function call."""

    def transmit(self, command: bytearray) -> bytes:
        """The card's answer, SW1 SW2 last. Keeps no reference to `command`, which is wiped afterwards.

        Raises: whatever the adapter says about a card or reader that went away (`card_bridge.piv.errors`).
        """


class Channel(Protocol):
    """A link of the chain: sends a command, gives the answer."""

    def send(self, command: CommandApdu) -> ResponseApdu: ...
