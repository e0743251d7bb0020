"""Ages by the Civil Code, and what may be registered about a person."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from ca_core.registration import Gender, Person, PersonDetails, PersonMalformed, age_on

DETAILS: dict[str, Any] = {"name": "王小明", "birthdate": date(2000, 2, 29), "gender": Gender.MALE}


def person(birthdate: date) -> Person:
    return Person(
        id="p" * 22,
        name="王小明",
        birthdate=birthdate,
        gender=Gender.MALE,
        subject_serial_number="1" * 16,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("birthdate", "day", "age"),
    [
        (date(2008, 3, 2), date(2026, 3, 1), 17),
        (date(2008, 3, 2), date(2026, 3, 2), 18),
        (date(2000, 2, 29), date(2018, 2, 28), 17),
        (date(2000, 2, 29), date(2018, 3, 1), 18),
        (date(2000, 2, 29), date(2020, 2, 28), 19),
        (date(2000, 2, 29), date(2020, 2, 29), 20),
        (date(2000, 12, 31), date(2001, 1, 1), 0),
        (date(2026, 3, 2), date(2026, 3, 2), 0),
    ],
)
def test_completed_years(birthdate: date, day: date, age: int) -> None:
    assert age_on(birthdate, day) == age


def test_the_birthday_begins_at_midnight_in_taipei() -> None:
    born = person(date(2008, 3, 2))
    assert not born.is_over(18, datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC))
    assert born.is_over(18, datetime(2026, 3, 1, 16, 0, 0, tzinfo=UTC))


def test_whoever_was_born_on_29_february_is_of_age_on_1_march() -> None:
    born = person(date(2000, 2, 29))
    assert not born.is_over(18, datetime(2018, 2, 28, 15, 59, 59, tzinfo=UTC))
    assert born.is_over(18, datetime(2018, 2, 28, 16, 0, 0, tzinfo=UTC))
    assert born.is_over(65, datetime(2065, 2, 28, 16, 0, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"name": "夏曼．藍波安 Syaman Rapongan"},
        {"name": "\ue000氏"},  # a character that only the household register has
        {"name": "名" * 64},
        {"birthdate": date(1850, 1, 1)},
        {"email": "ming+tax@mail.example.com.tw", "phone": "+886912345678"},
    ],
)
def test_accepted(changed: dict[str, Any]) -> None:
    details = PersonDetails(**DETAILS | changed)
    assert "王小明" not in repr(details)
    assert "2000" not in repr(details)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": " 王小明"},
        {"name": "名" * 65},
        {"name": "王\n小明"},
        {"name": "王\u202e小明"},
        {"name": "e\u0301"},
        {"name": None},
        {"birthdate": date(1849, 12, 31)},
        {"birthdate": datetime(2000, 1, 1, tzinfo=UTC)},
        {"birthdate": "2000-01-01"},
        {"gender": "male"},
        {"email": "ming"},
        {"email": "ming@localhost"},
        {"email": "ming@mail.example\n"},
        {"email": "m" * 250 + "@a.tw"},
        {"phone": "0912345678"},
        {"phone": "+88691234567890123"},
    ],
)
def test_refused_without_repeating_it(changed: dict[str, Any]) -> None:
    with pytest.raises(PersonMalformed) as refusal:
        PersonDetails(**DETAILS | changed)
    assert refusal.value.detail == next(iter(changed))
