"""Cards: numbers, personalisation, states."""

from ca_core.cards.card_number import new_card_number, verify_card_number
from ca_core.cards.certification import CardCertification
from ca_core.cards.errors import (
    CardError,
    CardNotFound,
    CardNumberMalformed,
    CardStateRefused,
    CertificationRequestRefused,
    OrderRefused,
    PersonalisationFailed,
    PersonalisationOvertaken,
    ReadBackMismatch,
    StationFault,
    StationTimeout,
)
from ca_core.cards.management_key import ManagementKeys
from ca_core.cards.model import DEFAULT_ALGORITHMS, PROFILES, Card, CardSlot, CardState
from ca_core.cards.ports import CardStation
from ca_core.cards.service import CardService
from ca_core.cards.station import ProcessCardStation
from ca_core.cards.store import CardStore

__all__ = [
    "DEFAULT_ALGORITHMS",
    "PROFILES",
    "Card",
    "CardCertification",
    "CardError",
    "CardNotFound",
    "CardNumberMalformed",
    "CardService",
    "CardSlot",
    "CardState",
    "CardStateRefused",
    "CardStation",
    "CardStore",
    "CertificationRequestRefused",
    "ManagementKeys",
    "OrderRefused",
    "PersonalisationFailed",
    "PersonalisationOvertaken",
    "ProcessCardStation",
    "ReadBackMismatch",
    "StationFault",
    "StationTimeout",
    "new_card_number",
    "verify_card_number",
]
