"""National IDs against anything."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_core.registration import NationalId, NationalIdMalformed, age_on, check_digit

NINE = st.from_regex(r"[A-Z][1289A-D][0-9]{7}", fullmatch=True)
PLACES = "0123456789"


@given(NINE)
def test_nine_characters_have_exactly_one_tenth(nine: str) -> None:
    right = [digit for digit in PLACES if accepted(nine + digit)]
    assert right == [check_digit(nine)]


@given(NINE, st.integers(2, 8), st.sampled_from(PLACES))
def test_a_wrong_digit_is_found_unless_its_weight_hides_it(nine: str, place: int, digit: str) -> None:
    whole = nine + check_digit(nine)
    altered = whole[:place] + digit + whole[place + 1 :]
    hidden = (9 - place) * (int(digit) - int(whole[place])) % 10 == 0
    assert accepted(altered) is hidden


@given(st.text() | st.binary().map(lambda octets: octets.decode("latin-1")))
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    try:
        shown = str(NationalId.parse(text))
    except NationalIdMalformed as refusal:
        shown = str(refusal)
    assert shown in ("..........", "grammar", "check digit")


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 40_000))
def test_age_only_ever_grows_by_one_on_one_day_a_year(born: date, days: int) -> None:
    day = born + timedelta(days=days)
    before, now = age_on(born, day), age_on(born, day + timedelta(days=1))
    assert now in (before, before + 1)
    assert abs(before - days / 365.2425) < 1.01


def accepted(text: str) -> bool:
    try:
        NationalId(text)
    except NationalIdMalformed:
        return False
    return True


def test_the_refusal_is_a_registration_error() -> None:
    with pytest.raises(NationalIdMalformed):
        NationalId("")
