"""Registration on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from ca_core.audit import AuditLog
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.errors import Conflict
from ca_core.registration import (
    Gender,
    NationalId,
    NationalIdKeys,
    NationalIdMalformed,
    NationalIdUnreadable,
    Person,
    PersonExists,
    PersonMalformed,
    PersonNotFound,
    PersonStore,
    RegistrationService,
    check_digit,
)
from ca_core.registration.store import persons
from support.fakes import FakeClock, SeededRng

ID = "A123456789"
_EVERYTHING = Statement(select(*persons.columns))
_COUNT = Statement(select(func.count()).select_from(persons))


def keys(*names: str) -> NationalIdKeys:
    return NationalIdKeys({name: name.encode().ljust(32, b".") for name in names}, names[-1], b"l" * 32)


def service_with(
    database: Database, clock: FakeClock, rng: SeededRng, national_id_keys: NationalIdKeys
) -> RegistrationService:
    return RegistrationService(database, PersonStore(), national_id_keys, AuditLog(clock, rng), clock, rng)


@pytest.fixture
def service(database: Database, clock: FakeClock, rng: SeededRng) -> RegistrationService:
    return service_with(database, clock, rng, keys("k1"))


def register(service: RegistrationService, national_id: str = ID) -> Person:
    return service.register(
        national_id=national_id,
        name="王小明",
        birthdate=date(1990, 5, 17),
        gender=Gender.MALE,
        actor="operator:7",
        email="ming@mail.example.tw",
        phone="+886912345678",
    )


def count(database: Database) -> int:
    with database.read() as tx:
        row = tx.one_or_none(_COUNT)
    assert row is not None
    return int(row[0])


def test_a_person_is_found_by_id_and_by_national_id(service: RegistrationService, clock: FakeClock) -> None:
    person = register(service)
    assert len(person.id) == 22
    assert person.created_at == clock.now
    assert len(person.subject_serial_number) == 16
    assert person.subject_serial_number.isdigit()
    assert service.find(person.id) == person
    assert service.find_by_national_id("a123456789") == person
    assert service.find_by_national_id(NationalId(ID)) == person
    assert service.national_id(person.id) == ID


def test_strangers_are_not_found(service: RegistrationService) -> None:
    assert service.find("x" * 22) is None
    assert service.find_by_national_id(ID) is None
    with pytest.raises(NationalIdMalformed):
        service.find_by_national_id("A123456788")
    with pytest.raises(PersonNotFound):
        service.national_id("x" * 22)


def test_the_table_does_not_hold_the_national_id(service: RegistrationService, database: Database) -> None:
    register(service)
    with database.read() as tx:
        (row,) = tx.all(_EVERYTHING)
    for cell in row:
        assert ID not in repr(cell)
        assert ID[1:].encode() not in (bytes(cell) if isinstance(cell, bytes | memoryview) else b"")


def test_registered_once(service: RegistrationService, database: Database, clock: FakeClock, rng: SeededRng) -> None:
    register(service)
    with pytest.raises(PersonExists):
        register(service)
    assert count(database) == 1
    with database.read() as tx:
        events = AuditLog(clock, rng).recent(tx)
    assert [event.name for event in events] == ["person.registered"]
    assert ID not in repr(events)
    assert "王小明" not in repr(events)


def test_eight_threads_register_one_person_and_one_wins(service: RegistrationService, database: Database) -> None:
    barrier = threading.Barrier(8)

    def race() -> bool:
        barrier.wait()
        try:
            register(service)
        except PersonExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [future.result() for future in [pool.submit(race) for _ in range(8)]]
    assert sum(won) == 1
    assert count(database) == 1


@pytest.mark.parametrize("changed", [{"name": ""}, {"birthdate": date(2999, 1, 1)}, {"national_id": "A123456788"}])
def test_a_refusal_writes_nothing(
    service: RegistrationService, database: Database, clock: FakeClock, rng: SeededRng, changed: dict[str, object]
) -> None:
    details = {
        "national_id": ID,
        "name": "王小明",
        "birthdate": date(1990, 5, 17),
        "gender": Gender.MALE,
        "actor": "operator:7",
    }
    with pytest.raises((PersonMalformed, NationalIdMalformed)):
        service.register(**details | changed)  # type: ignore[arg-type]  # one of them is wrong on purpose
    assert count(database) == 0
    with database.read() as tx:
        assert AuditLog(clock, rng).recent(tx) == []


def test_nobody_is_born_tomorrow_in_taipei(service: RegistrationService, clock: FakeClock) -> None:
    clock.set(clock.now.replace(hour=16, minute=0))  # it is the next day in Taipei already
    tomorrow = clock.now.date() + timedelta(days=1)
    person = service.register(
        national_id=ID, name="新生兒", birthdate=tomorrow, gender=Gender.FEMALE, actor="operator:7"
    )
    assert not person.is_over(0, clock.now - timedelta(days=1))
    with pytest.raises(PersonMalformed):
        service.register(
            national_id="F131104093",
            name="新生兒",
            birthdate=tomorrow + timedelta(days=1),
            gender=Gender.FEMALE,
            actor="operator:7",
        )


class SameNumbers:
    """An Rng that gives every person the same subject serial number."""

    def __init__(self, rng: SeededRng) -> None:
        self._rng = rng

    def __call__(self, size_bytes: int) -> bytes:
        return bytes(size_bytes) if size_bytes == 18 else self._rng(size_bytes)


def test_subject_serial_numbers_are_never_shared(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    service = RegistrationService(database, PersonStore(), keys("k1"), AuditLog(clock, rng), clock, SameNumbers(rng))
    register(service)
    with pytest.raises(Conflict):
        register(service, "F131104093")
    assert count(database) == 1


def test_rotation_reseals_everybody_in_small_transactions(
    service: RegistrationService, database: Database, clock: FakeClock, rng: SeededRng
) -> None:
    ids = [f"A1{number:07d}" for number in range(450)]
    people = {register(service, nine + check_digit(nine)).id: nine + check_digit(nine) for nine in ids}
    rotated = service_with(database, clock, rng, keys("k1", "k2"))
    assert rotated.reseal() == 450
    assert rotated.reseal() == 0
    only_new = service_with(database, clock, rng, keys("k2"))
    assert {person_id: only_new.national_id(person_id) for person_id in people} == people
    with pytest.raises(NationalIdUnreadable):
        service.national_id(next(iter(people)))
