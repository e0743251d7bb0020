"""National IDs: which are right, and that none of them shows."""

import logging
import pickle
import traceback

import pytest

from ca_core.registration import NationalId, NationalIdMalformed, check_digit

RIGHT = "A123456789"  # the example of every textbook


@pytest.mark.parametrize(
    "text",
    [
        RIGHT,
        "a123456789",
        " A123456789\n",
        "Z" + "19999999" + check_digit("Z19999999"),
        "F131104093",
        "A800000014",  # residents' numbers
        "A900000016",
        "AB12345677",  # a resident's of the old form
    ],
)
def test_right_ones(text: str) -> None:
    assert NationalId.parse(text).reveal() == text.strip().upper()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A12345678",
        "A1234567890",
        "A123456788",
        "B123456789",
        "A323456789",
        "AE12345678",
        "1123456789",
        "A12345678X",
        "Ａ１２３４５６７８９",
        "A１23456789",
        "A123456789\x00",
        "A12345 6789",
        "a" * 1000,
    ],
)
def test_wrong_ones_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(NationalIdMalformed) as refusal:
        NationalId.parse(text)
    assert refusal.value.code == "national_id_malformed"
    if len(text) > 3:
        assert text not in f"{refusal.value!r} {refusal.value} {refusal.value.detail}"


@pytest.mark.parametrize("letter", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_each_letter_has_one_check_digit(letter: str) -> None:
    first_nine = letter + "12345678"
    right = check_digit(first_nine)
    NationalId(first_nine + right)
    for digit in set("0123456789") - {right}:
        with pytest.raises(NationalIdMalformed):
            NationalId(first_nine + digit)


def test_only_text_is_parsed() -> None:
    for value in (None, 7, b"A123456789"):
        with pytest.raises(NationalIdMalformed):
            NationalId.parse(value)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(NationalIdMalformed):
            NationalId(value)  # type: ignore[arg-type]  # on purpose


def test_it_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    national_id = NationalId(RIGHT)
    shown = [
        str(national_id),
        repr(national_id),
        f"{national_id}",
        f"{national_id:>20}",
        f"{national_id} {[national_id]!r}",
    ]
    logging.getLogger("test").error("who: %s", national_id)
    try:
        raise ValueError(national_id)
    except ValueError:
        shown.append(traceback.format_exc())
    assert RIGHT not in " ".join([*shown, caplog.text])
    with pytest.raises(TypeError):
        pickle.dumps(national_id)
    assert not hasattr(national_id, "__dict__")


def test_equal_by_value() -> None:
    assert NationalId(RIGHT) == NationalId.parse("a123456789")
    assert NationalId(RIGHT) != NationalId("F131104093")
    assert NationalId(RIGHT) != RIGHT
    assert len({NationalId(RIGHT), NationalId(RIGHT)}) == 1
    assert NationalId(RIGHT).last4 == "6789"
