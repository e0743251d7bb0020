"""The station: keys made on the card, requests signed by them, certificates written, read back and compared.

Each order takes the card anew, so nothing rests on a connection that waits for a CA.
"""

from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from card_bridge.personalisation.csr import build_request
from card_bridge.personalisation.errors import BadRequest, CertificateMismatch
from card_bridge.personalisation.model import Order, Written
from card_bridge.personalisation.ports import Bench, Workpiece
from card_bridge.piv.errors import WriteNotConfirmed, WrongCard
from card_bridge.piv.management import PublicKey
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm, Slot


class Station:
    """One card at a time, between `generate` and `write` of the same order."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._order: Order | None = None
        self._public_keys: dict[Slot, bytes] = {}

    def generate(self, order: Order) -> dict[Slot, bytes]:
        """A PKCS#10 request in DER by each new key. Raises: CardError; the same order may then be tried again."""
        self._order, self._public_keys = None, {}
        requests: dict[Slot, bytes] = {}
        public_keys: dict[Slot, bytes] = {}
        with self._bench.take() as card:
            card.prepare(order)
            for slot, algorithm in order.keys.items():
                public_key = card.make_key(slot, algorithm)
                public_keys[slot] = _spki(public_key)
                requests[slot] = _request(card, order, slot, algorithm, public_key)
        self._order, self._public_keys = order, public_keys
        return requests

    def write(self, certificates: Mapping[Slot, bytes]) -> Written:
        """What the card holds afterwards.

        Raises: BadRequest (nothing was generated, or not these slots), CertificateMismatch before anything is written,
        WrongCard, WriteNotConfirmed.
        """
        order = self._order
        if order is None or set(certificates) != set(self._public_keys):
            raise BadRequest("certificates for exactly the keys just generated are wanted")
        for slot, der in certificates.items():
            if _certified_key(der) != self._public_keys[slot]:
                raise CertificateMismatch(f"slot {slot}")
        with self._bench.take() as card:
            if card.card_number() != order.card_number:
                raise WrongCard("another card lies in the station than the keys were made on")
            card.open_for_writing(order)
            for slot, der in certificates.items():
                card.write_certificate(slot, der)
        with self._bench.take() as card:
            written = _read_back(card, certificates)
            card.open_for_writing(order)
            replaced = card.finish(order)
        self._order, self._public_keys = None, {}
        return Written(card_number=order.card_number, certificates=written, management_key_replaced=replaced)


def _request(card: Workpiece, order: Order, slot: Slot, algorithm: KeyAlgorithm, public_key: PublicKey) -> bytes:
    def sign(digest: bytes, signature_algorithm: SignatureAlgorithm) -> bytes:
        return card.sign(order, slot, digest, signature_algorithm)

    return build_request(order.card_number, public_key, algorithm, sign)


def _read_back(card: Workpiece, certificates: Mapping[Slot, bytes]) -> dict[Slot, bytes]:
    """Raises: WriteNotConfirmed unless the card, taken anew, gives every octet that was written."""
    found: dict[Slot, bytes] = {}
    for slot, der in certificates.items():
        read = card.certificate(slot)
        if read != der:
            raise WriteNotConfirmed(f"certificate of slot {slot}")
        found[slot] = read
    return found


def _spki(public_key: PublicKey) -> bytes:
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _certified_key(der: bytes) -> bytes:
    try:
        public_key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise BadRequest("a certificate that does not parse") from error
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
