"""Registering persons, and finding them."""

from datetime import date
from typing import Final

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import TAIPEI, Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict
from ca_core.kernel.rng import Rng, random_token
from ca_core.registration.errors import PersonExists, PersonMalformed, PersonNotFound
from ca_core.registration.model import Gender, Person, PersonDetails
from ca_core.registration.national_id import NationalId
from ca_core.registration.ports import Persons
from ca_core.registration.sealing import NationalIdKeys

_PERSON_ID_BYTES: Final = 16
_TRIES: Final = 5
_BATCH: Final = 200


class RegistrationService:
    """Persons by id and by national ID, and the one place that gives a national ID out."""

    def __init__(
        self, database: Database, persons: Persons, keys: NationalIdKeys, audit: AuditLog, clock: Clock, rng: Rng
    ) -> None:
        self._database = database
        self._persons = persons
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._rng = rng

    def register(
        self,
        *,
        national_id: NationalId | str,
        name: str,
        birthdate: date,
        gender: Gender,
        actor: str,
        email: str | None = None,
        phone: str | None = None,
    ) -> Person:
        """A new person, recorded with its audit event.

        national_id: as text, it is parsed first. Raises: NationalIdMalformed, PersonMalformed, PersonExists.
        """
        identity = _parsed(national_id)
        details = PersonDetails(name=name, birthdate=birthdate, gender=gender, email=email, phone=phone)
        if details.birthdate > self._clock().astimezone(TAIPEI).date():
            raise PersonMalformed("birthdate")
        for _ in range(_TRIES):
            try:
                return self._add(identity, details, actor)
            except Conflict:
                if self.find_by_national_id(identity) is not None:
                    raise PersonExists from None
        raise Conflict("no free subject serial number")

    def find(self, person_id: str) -> Person | None:
        """The person with that id."""
        with self._database.read() as tx:
            return self._persons.find(tx, person_id)

    def find_by_national_id(self, national_id: NationalId | str) -> Person | None:
        """The person with that national ID. Raises: NationalIdMalformed."""
        lookup = self._keys.lookup(_parsed(national_id))
        with self._database.read() as tx:
            return self._persons.find_by_lookup(tx, lookup)

    def national_id(self, person_id: str) -> str:
        """The person's national ID in the clear, for a claim or a certificate that may carry it.

        Raises: PersonNotFound, NationalIdUnreadable.
        """
        with self._database.read() as tx:
            sealed = self._persons.sealed_national_id(tx, person_id)
        if sealed is None:
            raise PersonNotFound(f"person {person_id}")
        return self._keys.unseal(sealed, person_id).reveal()

    def reseal(self) -> int:
        """Puts every national ID under the current key, in small transactions; says how many it changed.

        May be stopped and started again at any time. Raises: NationalIdUnreadable.
        """
        changed, after = 0, ""
        while True:
            with self._database.write() as tx:
                batch = self._persons.sealed_otherwise(tx, self._keys.current, after=after, at_most=_BATCH)
                for person_id, sealed in batch:
                    fresh = self._keys.seal(self._keys.unseal(sealed, person_id), person_id, self._rng)
                    changed += self._persons.reseal(tx, person_id, sealed.key_id, fresh)
            if not batch:
                return changed
            after = batch[-1][0]

    def _add(self, identity: NationalId, details: PersonDetails, actor: str) -> Person:
        person = Person(
            id=random_token(self._rng, _PERSON_ID_BYTES),
            name=details.name,
            birthdate=details.birthdate,
            gender=details.gender,
            subject_serial_number=random_digits(self._rng, 16),
            created_at=self._clock(),
            email=details.email,
            phone=details.phone,
        )
        sealed = self._keys.seal(identity, person.id, self._rng)
        event = AuditEvent(name="person.registered", actor=actor, outcome=Outcome.OK, subject=f"person:{person.id}")
        with self._database.write() as tx:
            self._persons.add(tx, person, self._keys.lookup(identity), sealed)
            self._audit.append(tx, event)
        return person


def random_digits(rng: Rng, count: int) -> str:
    """That many unpredictable decimal digits, each value as likely as any other (the bias is below 2**-64)."""
    size_bytes = count // 2 + 10
    return f"{int.from_bytes(rng(size_bytes), 'big') % 10**count:0{count}d}"


def _parsed(national_id: NationalId | str) -> NationalId:
    return national_id if isinstance(national_id, NationalId) else NationalId.parse(national_id)
