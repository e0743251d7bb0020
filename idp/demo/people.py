"""The demo's citizens: invented, with identity numbers that carry a right check digit."""

from dataclasses import dataclass
from datetime import date

from ca_core.cards.model import CardSlot
from ca_core.keys.model import KeyAlgorithm
from ca_core.registration.model import Gender, Person
from ca_core.registration.service import RegistrationService
from idp.demo.founding import ACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCitizen:
    """Somebody who lives in the demo. algorithm: of all three keys on the card."""

    name: str
    national_id: str
    birthdate: date
    gender: Gender
    algorithm: KeyAlgorithm

    @property
    def algorithms(self) -> dict[CardSlot, KeyAlgorithm]:
        return dict.fromkeys(CardSlot, self.algorithm)


CITIZENS = (
    DemoCitizen(
        name="王小明",
        national_id="A123456789",
        birthdate=date(1990, 5, 17),
        gender=Gender.MALE,
        algorithm=KeyAlgorithm.P_256,
    ),
    DemoCitizen(
        name="林美玲",
        national_id="F234567898",
        birthdate=date(1985, 11, 2),
        gender=Gender.FEMALE,
        algorithm=KeyAlgorithm.RSA_2048,
    ),
)


def ensure_registered(registration: RegistrationService, citizen: DemoCitizen) -> Person:
    """The citizen's record, made where it is missing."""
    found = registration.find_by_national_id(citizen.national_id)
    if found is not None:
        return found
    return registration.register(
        national_id=citizen.national_id,
        name=citizen.name,
        birthdate=citizen.birthdate,
        gender=citizen.gender,
        actor=ACTOR,
    )
