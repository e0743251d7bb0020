"""Reading claims: each record is fetched only where a claim needs it."""

from collections.abc import Sequence
from datetime import datetime

from ca_core.kernel.clock import TAIPEI
from idp.claims.errors import RecordMissing
from idp.claims.model import (
    CERTIFICATE_CLAIMS,
    NATIONAL_ID_CLAIMS,
    PERSON_CLAIMS,
    SUBJECT_CLAIMS,
    ClaimSubject,
    ClaimValue,
)
from idp.claims.ports import Certificates, Persons


class PersonClaims:
    """The values of claims, by name."""

    def __init__(self, persons: Persons, certificates: Certificates) -> None:
        self._persons = persons
        self._certificates = certificates

    def values(self, names: Sequence[str], subject: ClaimSubject, now: datetime) -> dict[str, ClaimValue]:
        """The named claims of this person; names that are not in the vocabulary are passed over.

        Call it outside a transaction: the records open their own. Raises: RecordMissing.
        """
        found: dict[str, ClaimValue] = {}
        by_person = [name for name in names if name in PERSON_CLAIMS]
        if by_person:
            person = self._persons.find(subject.person_id)
            if person is None:
                raise RecordMissing("person")
            today = now.astimezone(TAIPEI).date()
            for name in by_person:
                value = PERSON_CLAIMS[name](person, today)
                if value is not None:
                    found[name] = value
        by_national_id = [name for name in names if name in NATIONAL_ID_CLAIMS]
        if by_national_id:
            national_id = self._persons.national_id(subject.person_id)
            found.update({name: NATIONAL_ID_CLAIMS[name](national_id) for name in by_national_id})
        by_certificate = [name for name in names if name in CERTIFICATE_CLAIMS]
        if by_certificate:
            record = self._certificates.find(subject.certificate_id)
            if record is None:
                raise RecordMissing("certificate")
            found.update({name: CERTIFICATE_CLAIMS[name](record) for name in by_certificate})
        found.update({name: SUBJECT_CLAIMS[name](subject) for name in names if name in SUBJECT_CLAIMS})
        return found
