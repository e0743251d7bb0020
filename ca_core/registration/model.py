"""A registered person, and how old they are. Pure."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from ca_core.kernel.clock import TAIPEI
from ca_core.registration.errors import PersonMalformed

MAX_NAME = 64
"""X.520's upper bound of a common name: a longer name could not stand in a certificate."""
_EARLIEST = date(1850, 1, 1)
_EMAIL = re.compile(
    r"[!#-'*+/-9=?A-Z^-~-]+(?:\.[!#-'*+/-9=?A-Z^-~-]+)*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}"
)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_NOT_IN_A_NAME = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Gender(StrEnum):
    """As OpenID Connect Core names it."""

    FEMALE = "female"
    MALE = "male"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as registered, without the national ID, which only `RegistrationService.national_id` gives out.

    id: opaque, stable. subject_serial_number: 16 digits that tell the subjects of certificates apart, the same on every
    card of the person. phone: E.164.
    """

    id: str
    name: str = field(repr=False)
    birthdate: date = field(repr=False)
    gender: Gender
    subject_serial_number: str
    created_at: datetime
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def age_on(self, day: date) -> int:
        """Completed years on a day in Taipei."""
        return age_on(self.birthdate, day)

    def is_over(self, years: int, now: datetime) -> bool:
        """True from the person's birthday of that many years on, by the date in Taipei."""
        return self.age_on(now.astimezone(TAIPEI).date()) >= years


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonDetails:
    """What is registered about a person, checked. Raises PersonMalformed."""

    name: str = field(repr=False)
    birthdate: date = field(repr=False)
    gender: Gender
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        verify_name(self.name)
        if type(self.birthdate) is not date or self.birthdate < _EARLIEST:
            raise PersonMalformed("birthdate")
        if not isinstance(self.gender, Gender):
            raise PersonMalformed("gender")
        if self.email is not None and (len(self.email) > 254 or not _EMAIL.fullmatch(self.email)):
            raise PersonMalformed("email")
        if self.phone is not None and not _PHONE.fullmatch(self.phone):
            raise PersonMalformed("phone")


def verify_name(name: str) -> None:
    """Accept iff a certificate can carry it: 1 to 64 characters, trimmed, composed (NFC), nothing invisible.

    Private-use characters pass: household registers hold names that no standard has encoded yet.
    Raises: PersonMalformed.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or name != name.strip():
        raise PersonMalformed("name")
    if any(unicodedata.category(character) in _NOT_IN_A_NAME for character in name):
        raise PersonMalformed("name")
    if not unicodedata.is_normalized("NFC", name):
        raise PersonMalformed("name")


def age_on(birthdate: date, day: date) -> int:
    """Completed years on a day.

    A year of age ends with the day before the birthday, or, where the month has no such day, with the month's last day
    (Civil Code, articles 121 and 124): whoever was born on 29 February is a year older on 1 March of a common year.
    """
    return day.year - birthdate.year - ((day.month, day.day) < (birthdate.month, birthdate.day))
