"""What cards need from outside."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from cryptography import x509

from ca_core.cards.model import Card, CardSlot, CardState
from ca_core.issuance.model import Intent, IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Transaction
from ca_core.keys.model import KeyAlgorithm
from ca_core.registration.model import Person
from ca_core.revocation.model import RevocationReason, StatusChange


class CardStation(Protocol):
    """A card in a reader and the program that personalises it. One card a station; after a fault, none."""

    def generate(
        self, card_number: str, keys: Mapping[CardSlot, KeyAlgorithm], *, pin: str, puk: str, management_key: bytes
    ) -> Mapping[CardSlot, x509.CertificateSigningRequest]:
        """Makes the keys on the card and sets its codes. Returns a request signed by each key. Raises: StationFault."""
        ...

    def write(self, certificates: Mapping[CardSlot, x509.Certificate]) -> Mapping[CardSlot, x509.Certificate]:
        """Writes the certificates and returns what the card then answers. Raises: StationFault."""
        ...


class Persons(Protocol):
    """`ca_core.registration.RegistrationService`."""

    def find(self, person_id: str) -> Person | None: ...

    def national_id(self, person_id: str) -> str: ...


class Issuance(Protocol):
    """`ca_core.issuance.IssuanceService`."""

    def issue(self, request: IssuanceRequest) -> IssuedCertificate: ...


class Intents(Protocol):
    """`ca_core.issuance.store.IntentStore`: what was to be signed, and may still come."""

    def find(self, tx: Transaction, request_id: str) -> Intent | None: ...


class Certificates(Protocol):
    """`ca_core.issuance.store.CertificateStore`."""

    def by_card(self, tx: Transaction, card_number: str) -> list[IssuedCertificate]: ...


class Revocation(Protocol):
    """`ca_core.revocation.RevocationService`."""

    def revoke(self, authority_id: int, serial: int, reason: RevocationReason, actor: str) -> StatusChange: ...


class Cards(Protocol):
    """Cards in a database; `store.CardStore` is the one there is."""

    def add(self, tx: Transaction, card: Card) -> None: ...

    def find(self, tx: Transaction, card_number: str) -> Card | None: ...

    def by_person(self, tx: Transaction, person_id: str) -> list[Card]: ...

    def change(
        self, tx: Transaction, card_number: str, present: CardState, wanted: CardState, now: datetime
    ) -> bool: ...

    def settle(self, tx: Transaction, card_number: str, now: datetime) -> None: ...

    def unsettled(self, tx: Transaction, *, before: datetime, at_most: int) -> Iterable[Card]: ...
