"""The certification requests that a card's keys signed, checked before the CA sees them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ca_core.cards.errors import CertificationRequestRefused
from ca_core.cards.model import CardSlot
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import KeyAlgorithm, PublicKey, key_algorithm_of, spki_octets

MAX_REQUEST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """A request signed by its own key, which is of the ordered algorithm. Only `verify_requests` makes it."""

    csr: x509.CertificateSigningRequest
    public_key: PublicKey


def verify_requests(
    unverified: Mapping[CardSlot, x509.CertificateSigningRequest], ordered: Mapping[CardSlot, KeyAlgorithm]
) -> dict[CardSlot, VerifiedRequest]:
    """One request a slot: each for a key of its own, of the ordered algorithm, signed by that key.

    Raises: CertificationRequestRefused.
    """
    if unverified.keys() != ordered.keys():
        raise CertificationRequestRefused("not one request for each key")
    verified = {slot: _verified(slot, unverified[slot], algorithm) for slot, algorithm in ordered.items()}
    if len({spki_octets(request.public_key) for request in verified.values()}) != len(verified):
        raise CertificationRequestRefused("a key is used twice")
    return verified


def _verified(
    slot: CardSlot, unverified_csr: x509.CertificateSigningRequest, algorithm: KeyAlgorithm
) -> VerifiedRequest:
    try:
        public_key = unverified_csr.public_key()
        if not isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise CertificationRequestRefused(f"{slot}: key type")
        if key_algorithm_of(public_key) is not algorithm:
            raise CertificationRequestRefused(f"{slot}: not the ordered algorithm")
        is_signed = unverified_csr.is_signature_valid
    except (ValueError, InvalidSignature, UnsupportedAlgorithm, KeyAlgorithmRefused) as error:
        raise CertificationRequestRefused(f"{slot}: key or signature cannot be read") from error
    if not is_signed:
        raise CertificationRequestRefused(f"{slot}: not signed by its key")
    return VerifiedRequest(csr=unverified_csr, public_key=public_key)
