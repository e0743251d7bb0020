"""Claims as functions of the records."""

from datetime import UTC, date, datetime

import pytest

from ca_core.registration import age_on
from idp.claims.errors import RecordMissing
from idp.claims.model import (
    CERTIFICATE_CLAIMS,
    NATIONAL_ID_CLAIMS,
    PERSON_CLAIMS,
    SUBJECT_CLAIMS,
    ClaimSubject,
)
from idp.claims.service import PersonClaims
from idp.oauth.scopes import CLAIM_SCOPE
from support.openid_provider import FakeCertificates, FakePerson, FakePersons

SUBJECT = ClaimSubject(person_id="person-1", certificate_id=7, status_source="database", status_age_s=4)
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def claims_of(person: FakePerson, *names: str, now: datetime = NOW) -> dict[str, object]:
    persons = FakePersons(known={"person-1": person})
    return dict(PersonClaims(persons, FakeCertificates()).values(names, SUBJECT, now))


def test_every_claim_of_the_vocabulary_has_a_source() -> None:
    sources = {*PERSON_CLAIMS, *NATIONAL_ID_CLAIMS, *CERTIFICATE_CLAIMS, *SUBJECT_CLAIMS}
    assert sources == set(CLAIM_SCOPE)


@pytest.mark.parametrize(
    ("birthdate", "today", "age"),
    [
        (date(2008, 3, 2), date(2026, 3, 1), 17),
        (date(2008, 3, 2), date(2026, 3, 2), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 28), 19),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
        (date(2026, 1, 1), date(2026, 1, 1), 0),
    ],
)
def test_age(birthdate: date, today: date, age: int) -> None:
    assert age_on(birthdate, today) == age


def test_a_day_begins_in_taipei() -> None:
    person = FakePerson(birthdate=date(2008, 3, 3))
    before = datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC)
    after = datetime(2026, 3, 2, 16, 0, 0, tzinfo=UTC)
    assert claims_of(person, "age_over_18", now=before) == {"age_over_18": False}
    assert claims_of(person, "age_over_18", now=after) == {"age_over_18": True}


def test_what_the_citizen_did_not_give_is_left_out() -> None:
    names = ("email", "email_verified", "phone_number", "phone_number_verified")
    assert claims_of(FakePerson(), *names) == {}
    assert claims_of(FakePerson(email="a@example.tw", phone="+886900000000"), *names) == {
        "email": "a@example.tw",
        "email_verified": False,
        "phone_number": "+886900000000",
        "phone_number_verified": False,
    }


def test_names_outside_the_vocabulary_are_passed_over() -> None:
    assert claims_of(FakePerson(), "shoe_size", "sub", "iss") == {}


def test_a_missing_record_is_a_fault_of_ours() -> None:
    with pytest.raises(RecordMissing):
        PersonClaims(FakePersons(known={}), FakeCertificates()).values(("name",), SUBJECT, NOW)
