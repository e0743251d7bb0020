"""The table of persons."""

from datetime import date

from sqlalchemy import Column, LargeBinary, String, Table, bindparam, insert, select, update

from ca_core.kernel.database import Row, Statement, Transaction, UtcTime
from ca_core.registration.model import Gender, Person
from ca_core.registration.sealing import SealedNationalId
from ca_core.schema import metadata

persons = Table(
    "persons",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("national_id_lookup", LargeBinary(32), nullable=False, unique=True),
    Column("national_id_key_id", String(32), nullable=False),
    Column("national_id_sealed", LargeBinary(64), nullable=False),
    Column("subject_serial_number", String(16), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("birthdate", String(10), nullable=False),
    Column("gender", String(10), nullable=False),
    Column("email", String(254), nullable=True),
    Column("phone", String(16), nullable=True),
    Column("created_at", UtcTime, nullable=False),
)

_PERSON = (
    persons.c.id,
    persons.c.name,
    persons.c.birthdate,
    persons.c.gender,
    persons.c.subject_serial_number,
    persons.c.created_at,
    persons.c.email,
    persons.c.phone,
)
_ADD = Statement(insert(persons).values({column.name: bindparam(column.name) for column in persons.columns}))
_BY_ID = Statement(select(*_PERSON).where(persons.c.id == bindparam("id")))
_BY_LOOKUP = Statement(select(*_PERSON).where(persons.c.national_id_lookup == bindparam("lookup")))
_SEALED = Statement(
    select(persons.c.national_id_key_id, persons.c.national_id_sealed).where(persons.c.id == bindparam("id"))
)
_SEALED_OTHERWISE = Statement(
    select(persons.c.id, persons.c.national_id_key_id, persons.c.national_id_sealed)
    .where(persons.c.id > bindparam("after"), persons.c.national_id_key_id != bindparam("current"))
    .order_by(persons.c.id)
    .limit(bindparam("at_most"))
)
_RESEAL = Statement(
    update(persons)
    .where(persons.c.id == bindparam("of_id"), persons.c.national_id_key_id == bindparam("sealed_under"))
    .values(national_id_key_id=bindparam("key_id"), national_id_sealed=bindparam("sealed"))
)


class PersonStore:
    """Persons. Every method runs in the caller's transaction."""

    def add(self, tx: Transaction, person: Person, lookup: bytes, sealed: SealedNationalId) -> None:
        """Raises: Conflict, for a national ID or a subject serial number that is there already."""
        tx.execute(
            _ADD,
            id=person.id,
            national_id_lookup=lookup,
            national_id_key_id=sealed.key_id,
            national_id_sealed=sealed.octets,
            subject_serial_number=person.subject_serial_number,
            name=person.name,
            birthdate=person.birthdate.isoformat(),
            gender=person.gender.value,
            email=person.email,
            phone=person.phone,
            created_at=person.created_at,
        )

    def find(self, tx: Transaction, person_id: str) -> Person | None:
        return _person(tx.one_or_none(_BY_ID, id=person_id))

    def find_by_lookup(self, tx: Transaction, lookup: bytes) -> Person | None:
        return _person(tx.one_or_none(_BY_LOOKUP, lookup=lookup))

    def sealed_national_id(self, tx: Transaction, person_id: str) -> SealedNationalId | None:
        row = tx.one_or_none(_SEALED, id=person_id)
        return None if row is None else SealedNationalId(key_id=row[0], octets=bytes(row[1]))

    def sealed_otherwise(
        self, tx: Transaction, current: str, *, after: str, at_most: int
    ) -> list[tuple[str, SealedNationalId]]:
        """Persons whose national ID is not under the current key, by id, following `after`."""
        rows = tx.all(_SEALED_OTHERWISE, current=current, after=after, at_most=at_most)
        return [(row[0], SealedNationalId(key_id=row[1], octets=bytes(row[2]))) for row in rows]

    def reseal(self, tx: Transaction, person_id: str, sealed_under: str, sealed: SealedNationalId) -> bool:
        """Replaces the sealed form, unless somebody else did so meanwhile."""
        changed = tx.execute(
            _RESEAL, of_id=person_id, sealed_under=sealed_under, key_id=sealed.key_id, sealed=sealed.octets
        )
        return changed == 1


def _person(row: Row | None) -> Person | None:
    if row is None:
        return None
    person_id, name, birthdate, gender, subject_serial_number, created_at, email, phone = row
    return Person(
        id=person_id,
        name=name,
        birthdate=date.fromisoformat(birthdate),
        gender=Gender(gender),
        subject_serial_number=subject_serial_number,
        created_at=created_at,
        email=email,
        phone=phone,
    )
