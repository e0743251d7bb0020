"""Claims as functions of the records. Pure."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TypeAlias

from ca_core.registration import age_on
from idp.claims.ports import CertificateRecord, PersonRecord

ClaimValue: TypeAlias = str | int | bool | list[str] | dict[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSubject:
    """Whose claims, from which login. status_source and status_age_s: what that login's status check rested on."""

    person_id: str
    certificate_id: int
    status_source: str
    status_age_s: int


# A claim that is None is left out of the answer.
PERSON_CLAIMS: Mapping[str, Callable[[PersonRecord, date], ClaimValue | None]] = MappingProxyType(
    {
        "name": lambda person, today: person.name,
        "birthdate": lambda person, today: person.birthdate.isoformat(),
        "gender": lambda person, today: str(person.gender),
        "age_over_18": lambda person, today: age_on(person.birthdate, today) >= 18,
        "age_over_20": lambda person, today: age_on(person.birthdate, today) >= 20,
        "age_over_65": lambda person, today: age_on(person.birthdate, today) >= 65,
        "email": lambda person, today: person.email,
        "email_verified": lambda person, today: (
            None if person.email is None else False
        ),  # noted at the counter, untried
        "phone_number": lambda person, today: person.phone,
        "phone_number_verified": lambda person, today: None if person.phone is None else False,
    }
)
NATIONAL_ID_CLAIMS: Mapping[str, Callable[[str], ClaimValue]] = MappingProxyType(
    {"national_id": lambda national_id: national_id, "national_id_last4": lambda national_id: national_id[-4:]}
)
CERTIFICATE_CLAIMS: Mapping[str, Callable[[CertificateRecord], ClaimValue]] = MappingProxyType(
    {
        "certificate": lambda record: [b64encode(record.der).decode("ascii")],  # as `x5c`: RFC 7515 s4.1.6
        "certificate_serial": lambda record: format(record.serial, "040x"),
    }
)
SUBJECT_CLAIMS: Mapping[str, Callable[[ClaimSubject], ClaimValue]] = MappingProxyType(
    {"revocation": lambda subject: {"source": subject.status_source, "age": subject.status_age_s}}
)
