"""A card without plastic: keys in this process's memory, for load tests that need many citizens quickly."""

from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca_core.cards.model import CardSlot
from ca_core.keys.model import KeyAlgorithm


class SoftwareStation:
    """A card station (`ca_core.cards.ports.CardStation`) over P-256 keys that it makes itself."""

    def __init__(self) -> None:
        self.keys: dict[CardSlot, ec.EllipticCurvePrivateKey] = {}

    def generate(
        self, card_number: str, keys: Mapping[CardSlot, KeyAlgorithm], *, pin: str, puk: str, management_key: bytes
    ) -> dict[CardSlot, x509.CertificateSigningRequest]:
        self.keys = {slot: ec.generate_private_key(ec.SECP256R1()) for slot in keys}
        empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return {slot: empty.sign(key, hashes.SHA256()) for slot, key in self.keys.items()}

    def write(self, certificates: Mapping[CardSlot, x509.Certificate]) -> dict[CardSlot, x509.Certificate]:
        return dict(certificates)
