from datetime import UTC, datetime

import pytest
from asn1crypto import crl as asn1_crl

from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.errors import AlreadyRevoked, AlreadySuspended, NotSuspended, ReasonRefused
from ca_core.revocation.model import Change, RevocationReason, verify_may_follow, verify_reason_fits
from ca_core.status.crl_entries import verify_entries

AT = datetime(2026, 3, 2, 1, 2, 3, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("latest", "wanted"),
    [
        (None, Change.REVOKE),
        (None, Change.SUSPEND),
        (Change.SUSPEND, Change.REVOKE),
        (Change.SUSPEND, Change.RESUME),
        (Change.RESUME, Change.REVOKE),
        (Change.RESUME, Change.SUSPEND),
    ],
)
def test_what_may_follow(latest: Change | None, wanted: Change) -> None:
    verify_may_follow(latest, wanted)


@pytest.mark.parametrize(
    ("latest", "wanted", "error"),
    [
        (Change.REVOKE, Change.REVOKE, AlreadyRevoked),
        (Change.REVOKE, Change.SUSPEND, AlreadyRevoked),
        (Change.REVOKE, Change.RESUME, AlreadyRevoked),
        (Change.SUSPEND, Change.SUSPEND, AlreadySuspended),
        (None, Change.RESUME, NotSuspended),
        (Change.RESUME, Change.RESUME, NotSuspended),
    ],
)
def test_what_may_not_follow(latest: Change | None, wanted: Change, error: type[Exception]) -> None:
    with pytest.raises(error):
        verify_may_follow(latest, wanted)


def test_each_reason_fits_one_change() -> None:
    fitting = {reason: [change for change in Change if _fits(change, reason)] for reason in RevocationReason}
    assert fitting.pop(RevocationReason.CERTIFICATE_HOLD) == [Change.SUSPEND]
    assert fitting.pop(RevocationReason.REMOVE_FROM_CRL) == [Change.RESUME]
    assert all(changes == [Change.REVOKE] for changes in fitting.values())


def _fits(change: Change, reason: RevocationReason) -> bool:
    try:
        verify_reason_fits(change, reason)
    except ReasonRefused:
        return False
    return True


NAMES = {
    RevocationReason.KEY_COMPROMISE: "key_compromise",
    RevocationReason.CA_COMPROMISE: "ca_compromise",
    RevocationReason.AFFILIATION_CHANGED: "affiliation_changed",
    RevocationReason.SUPERSEDED: "superseded",
    RevocationReason.CESSATION_OF_OPERATION: "cessation_of_operation",
    RevocationReason.CERTIFICATE_HOLD: "certificate_hold",
    RevocationReason.REMOVE_FROM_CRL: "remove_from_crl",
    RevocationReason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
    RevocationReason.AA_COMPROMISE: "aa_compromise",
}


@pytest.mark.parametrize("reason", list(RevocationReason))
@pytest.mark.parametrize("serial", [1, 0x7F, 0x80, 0xFFFF, 2**127, 2**159 - 1])
@pytest.mark.parametrize("invalidity", [None, datetime(2025, 12, 31, tzinfo=UTC)])
def test_an_entry_is_what_another_library_makes(
    reason: RevocationReason, serial: int, invalidity: datetime | None
) -> None:
    octets = crl_entry(serial, AT, reason, invalidity)
    extensions = []
    if reason is not RevocationReason.UNSPECIFIED:
        extensions.append({"extn_id": "crl_reason", "extn_value": asn1_crl.CRLReason(NAMES[reason])})
    if invalidity is not None:
        extensions.append({"extn_id": "invalidity_date", "extn_value": invalidity})
    whole_second = AT.replace(microsecond=0)
    fields = {"user_certificate": serial, "revocation_date": asn1_crl.Time({"utc_time": whole_second})}
    if extensions:
        fields["crl_entry_extensions"] = extensions
    assert octets == asn1_crl.RevokedCertificate(fields).dump()


def test_from_2050_on_the_date_is_a_generalized_time() -> None:
    assert b"\x18\x0f20500101000000Z" in crl_entry(1, datetime(2050, 1, 1, tzinfo=UTC), RevocationReason.UNSPECIFIED)
    assert b"\x17\x0d491231235959Z" in crl_entry(
        1, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), RevocationReason.UNSPECIFIED
    )


@pytest.mark.parametrize("year", [1, 202, 1_949])
def test_an_early_invalidity_date_has_four_digits_of_a_year(year: int) -> None:
    entry = crl_entry(5, AT, RevocationReason.KEY_COMPROMISE, datetime(year, 5, 6, tzinfo=UTC))
    assert f"\x18\x0f{year:04d}0506000000Z".encode("ascii") in entry
    verify_entries(entry, delta=False)
