"""Persons whom an earlier system registered: many at once, each keeping the serial number of their certificates.

National IDs are sealed here as everywhere, and leave no trace in what is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import bindparam, select

from ca_core.kernel.clock import TAIPEI
from ca_core.kernel.database import Statement, Transaction
from ca_core.kernel.rng import Rng, random_token
from ca_core.registration import store
from ca_core.registration.errors import NationalIdUnreadable, PersonMalformed
from ca_core.registration.model import Person, PersonDetails
from ca_core.registration.national_id import NationalId
from ca_core.registration.sealing import NationalIdKeys, SealedNationalId
from ca_core.registration.store import PersonStore

_SERIAL_NUMBER = re.compile(r"[0-9]{16}")
_BY_SUBJECT = Statement(
    select(store.persons.c.id, store.persons.c.national_id_key_id, store.persons.c.national_id_sealed).where(
        store.persons.c.subject_serial_number == bindparam("subject_serial_number")
    )
)


class HolderOutcome(StrEnum):
    """added; known: the same person is here; differs: that national ID has another serial number here; taken: that
    serial number is somebody else's."""

    ADDED = "added"
    KNOWN = "known"
    DIFFERS = "differs"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedHolder:
    """A person as an earlier system knew them, parsed and checked."""

    national_id: NationalId
    details: PersonDetails
    subject_serial_number: str
    card_number: str | None = field(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderMatch:
    """is_same: the four characters, where a certificate names any, are those of this person's national ID."""

    person_id: str
    is_same: bool


def verify_subject_serial_number(text: str) -> None:
    """Accepts 16 digits. Raises: PersonMalformed."""
    if not _SERIAL_NUMBER.fullmatch(text):
        raise PersonMalformed("subject_serial_number")


class HolderRegister:
    """Writes and finds imported persons in the caller's transaction; the audit event of a file is the caller's too."""

    def __init__(self, keys: NationalIdKeys, rng: Rng) -> None:
        self._keys = keys
        self._rng = rng
        self._persons = PersonStore()

    def add_all(
        self, tx: Transaction, holders: Sequence[ImportedHolder], now: datetime
    ) -> list[tuple[HolderOutcome, str]]:
        """For each, in order, what came of it and the person's id.

        Raises: Conflict, where another registers one of them at this moment.
        """
        return [self._add(tx, holder, now) for holder in holders]

    def match(self, tx: Transaction, subject_serial_number: str, last4: str | None) -> HolderMatch | None:
        """As `ca_core.migration.ports.Holders`."""
        row = tx.one_or_none(_BY_SUBJECT, subject_serial_number=subject_serial_number)
        if row is None:
            return None
        person_id, key_id, sealed = row
        if last4 is None:
            return HolderMatch(person_id=person_id, is_same=True)
        try:
            known = self._keys.unseal(SealedNationalId(key_id=key_id, octets=bytes(sealed)), person_id)
        except NationalIdUnreadable:
            return HolderMatch(person_id=person_id, is_same=False)
        return HolderMatch(person_id=person_id, is_same=known.last4 == last4)

    def _add(self, tx: Transaction, holder: ImportedHolder, now: datetime) -> tuple[HolderOutcome, str]:
        lookup = self._keys.lookup(holder.national_id)
        known = self._persons.find_by_lookup(tx, lookup)
        if known is not None:
            is_same = known.subject_serial_number == holder.subject_serial_number
            return HolderOutcome.KNOWN if is_same else HolderOutcome.DIFFERS, known.id
        if tx.one_or_none(_BY_SUBJECT, subject_serial_number=holder.subject_serial_number) is not None:
            return HolderOutcome.TAKEN, ""
        details = holder.details
        person = Person(
            id=random_token(self._rng, 16),
            name=details.name,
            birthdate=details.birthdate,
            gender=details.gender,
            subject_serial_number=holder.subject_serial_number,
            created_at=now,
            email=details.email,
            phone=details.phone,
        )
        self._persons.add(tx, person, lookup, self._keys.seal(holder.national_id, person.id, self._rng))
        return HolderOutcome.ADDED, person.id


def verify_born(details: PersonDetails, now: datetime) -> None:
    """Raises: PersonMalformed, for a birthdate that is still to come."""
    if details.birthdate > now.astimezone(TAIPEI).date():
        raise PersonMalformed("birthdate")
