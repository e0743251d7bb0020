"""Persons as registered: who they are, how old, and their national ID, encrypted and found by a keyed hash."""

from ca_core.registration.errors import (
    NationalIdMalformed,
    NationalIdUnreadable,
    PersonExists,
    PersonMalformed,
    PersonNotFound,
    RegistrationError,
)
from ca_core.registration.model import Gender, Person, PersonDetails, age_on
from ca_core.registration.national_id import NationalId, check_digit
from ca_core.registration.sealing import NationalIdKeys, SealedNationalId
from ca_core.registration.service import RegistrationService
from ca_core.registration.store import PersonStore

__all__ = [
    "Gender",
    "NationalId",
    "NationalIdKeys",
    "NationalIdMalformed",
    "NationalIdUnreadable",
    "Person",
    "PersonDetails",
    "PersonExists",
    "PersonMalformed",
    "PersonNotFound",
    "PersonStore",
    "RegistrationError",
    "RegistrationService",
    "SealedNationalId",
    "age_on",
    "check_digit",
]
