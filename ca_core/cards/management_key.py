"""Each card's own management key, derived and never stored."""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ca_core.cards.card_number import verify_card_number
from ca_core.kernel.errors import ConfigurationError

MANAGEMENT_KEY_BYTES: Final = 24
"""AES-192 (or 3DES on old cards): the length that every PIV card takes."""
_INFO: Final = b"citizenid card management key v1 "


class ManagementKeys:
    """Management keys by HKDF-SHA256 from one master secret and the card number."""

    def __init__(self, master_secret: bytes) -> None:
        """master_secret: 32 octets or more, unpredictable. Raises: ConfigurationError."""
        if len(master_secret) < 32:
            raise ConfigurationError("the card master secret is shorter than 32 octets")
        self._master_secret = master_secret

    def of(self, card_number: str) -> bytes:
        """The card's management key. Raises: CardNumberMalformed."""
        verify_card_number(card_number)
        info = _INFO + card_number.encode("ascii")
        return HKDF(algorithm=SHA256(), length=MANAGEMENT_KEY_BYTES, salt=None, info=info).derive(self._master_secret)
