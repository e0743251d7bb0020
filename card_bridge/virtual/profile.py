"""What kind of card a virtual card is: the standard's own, or with one vendor's additions."""

from dataclasses import dataclass
from typing import Final

from card_bridge.piv.management import DEFAULT_KEY
from card_bridge.piv.model import AlgorithmReference

# A contact card with T=1: OpenSC takes an answer to reset that begins 3B 8x 80 01 for a contactless one.
CONTACT_T1: Final = bytes.fromhex("3bf81300008131fe45436974697a656e49ef")
# The same for T=0, whose commands cannot carry data and ask for an answer at once.
CONTACT_T0: Final = bytes.fromhex("3b6800000073c84012009000")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """How a card leaves the factory.

    vendor_extensions: metadata, version, serial, key import, attestation, set tries, reset, set management key; and
    the vendor's reading of "PIN always", which a command between VERIFY and the signature does not undo.
    """

    vendor_extensions: bool = True
    atr: bytes = CONTACT_T1
    pin: bytes = b"123456"
    puk: bytes = b"12345678"
    pin_tries: int = 3
    puk_tries: int = 3
    management_key: bytes = DEFAULT_KEY
    management_algorithm: AlgorithmReference = AlgorithmReference.TRIPLE_DES
    version: tuple[int, int, int] = (5, 4, 3)

    @property
    def t0(self) -> bool:
        """Whether the answer to reset offers T=0 alone."""
        return self.atr == CONTACT_T0


VENDOR_CARD: Final = CardProfile()
PLAIN_CARD: Final = CardProfile(vendor_extensions=False)
