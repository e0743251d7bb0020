"""notBefore and notAfter."""

from datetime import UTC, datetime, timedelta

import pytest

from ca_core.issuance.errors import IssuerNotValid
from ca_core.issuance.validity import validity_of
from ca_core.profiles.model import BeyondIssuer, Validity


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def years(count: int, beyond: BeyondIssuer = BeyondIssuer.REFUSE) -> Validity:
    return Validity(years=count, snap_to_end_of_day=True, beyond_issuer=beyond)


@pytest.mark.parametrize(
    ("count", "now", "end"),
    [
        (20, "2024-01-23T06:30:45Z", "2044-01-23T15:59:59Z"),  # the deployed authority's own
        (5, "2026-03-02T15:59:59Z", "2031-03-02T15:59:59Z"),
        (5, "2026-03-02T16:00:00Z", "2031-03-03T15:59:59Z"),  # already the next day in Taipei
        (5, "2028-02-29T04:00:00Z", "2033-02-28T15:59:59Z"),
        (5, "2028-02-28T20:00:00Z", "2033-02-28T15:59:59Z"),  # the 29th in Taipei
        (4, "2028-02-29T04:00:00Z", "2032-02-29T15:59:59Z"),
    ],
)
def test_years_end_with_the_day_in_taipei(count: int, now: str, end: str) -> None:
    assert validity_of(years(count), at(now), None) == (at(now), at(end))


def test_days_and_no_snap() -> None:
    rule = Validity(days=30, snap_to_end_of_day=False, beyond_issuer=BeyondIssuer.REFUSE)
    now = at("2026-03-02T01:02:03Z")
    assert validity_of(rule, now, None) == (now, now + timedelta(days=30))


def test_fractions_of_a_second_are_cut() -> None:
    not_before, _ = validity_of(years(1), at("2026-03-02T01:02:03.987654Z"), None)
    assert not_before == at("2026-03-02T01:02:03Z")


def test_a_certificate_does_not_outlive_its_issuer() -> None:
    now, issuer_end = at("2026-03-02T01:02:03Z"), at("2027-03-02T15:59:58Z")
    with pytest.raises(IssuerNotValid):
        validity_of(years(1), now, issuer_end)
    assert validity_of(years(1, BeyondIssuer.SHORTEN), now, issuer_end)[1] == issuer_end
    assert validity_of(years(1), now, issuer_end + timedelta(seconds=1))[1] == issuer_end + timedelta(seconds=1)
