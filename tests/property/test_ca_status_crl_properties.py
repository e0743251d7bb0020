"""Entries and lists under random change: judged as `cryptography` reads them, and never by luck."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_core.revocation import der
from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.model import RevocationReason
from ca_core.status.crl_entries import verify_entries
from ca_core.status.crl_frame import CrlFrame, certificate_list_header
from ca_core.status.crl_reader import CrlReader
from ca_core.status.errors import CrlMalformed, CrlRefused, SigningFault
from ca_core.status.signing import scheme_of, sign

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "TW")])
AT = datetime(2026, 3, 2, 1, 2, 3, tzinfo=UTC)
SERIALS = st.integers(1, (1 << 159) - 1) | st.integers(1, 300)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
REASONS = st.sampled_from(RevocationReason)
FRAME = CrlFrame(
    algorithm_identifier=scheme_of(KEY).algorithm_identifier,
    issuer=NAME.public_bytes(),
    key_identifier=b"k" * 20,
    number=7,
    this_update=AT,
    next_update=AT + timedelta(days=1),
)


def listed(entries: list[bytes], frame: CrlFrame = FRAME) -> bytes:
    tbs = b"".join(frame.tbs(entries, sum(map(len, entries))))
    tail = frame.signed_tail(sign(KEY, tbs))
    return certificate_list_header(len(tbs), len(tail)) + tbs + tail


SIGNED = listed([crl_entry(serial, AT, RevocationReason.SUPERSEDED) for serial in (5, 6)])


@given(st.lists(st.tuples(SERIALS, MOMENTS, REASONS, st.none() | MOMENTS), min_size=1, max_size=6))
def test_every_entry_of_this_house_is_accepted(several: list[tuple[int, datetime, RevocationReason, datetime]]) -> None:
    octets = b"".join(crl_entry(*one) for one in several)
    verify_entries(octets, delta=True)
    if any(reason is RevocationReason.REMOVE_FROM_CRL for _, _, reason, _ in several):
        with pytest.raises(CrlRefused):
            verify_entries(octets, delta=False)
    else:
        verify_entries(octets, delta=False)


@given(SERIALS, REASONS, st.data())
def test_what_is_accepted_after_a_change_is_still_der(
    serial: int, reason: RevocationReason, data: st.DataObject
) -> None:
    entry = bytearray(crl_entry(serial, AT, reason, AT))
    position = data.draw(st.integers(0, len(entry) - 1))
    entry[position] = data.draw(st.integers(0, 255))
    changed = bytes(entry)
    try:
        verify_entries(changed, delta=True)
    except CrlRefused:
        return
    try:
        read = x509.load_der_x509_crl(listed([changed]))[0]
        again = crl_entry(
            read.serial_number,
            read.revocation_date_utc,
            RevocationReason(read.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
            if b"\x55\x1d\x15" in changed
            else RevocationReason.UNSPECIFIED,
            read.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc,
        )
    except ValueError:  # a day that its month does not have: what pkilint's sample is for
        return
    assert again == changed


@given(st.binary(max_size=200))
def test_octets_that_are_no_entries(octets: bytes) -> None:
    if octets:
        with pytest.raises(CrlRefused):
            verify_entries(octets, delta=True)


@given(st.lists(SERIALS, unique=True, max_size=40), st.integers(1, 200), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_a_list_is_read_as_it_was_written(serials: list[int], chunk: int, is_delta: bool, is_shard: bool) -> None:
    entries = [crl_entry(serial, AT, RevocationReason.SUPERSEDED) for serial in serials]
    frame = CrlFrame(
        **{name: getattr(FRAME, name) for name in CrlFrame.__slots__}
        | {"base_number": 3 if is_delta else None, "shard_uri": "http://x.tw/crl/a/1.crl" if is_shard else None}
    )
    octets = listed(entries, frame)
    reader = CrlReader((octets[at : at + chunk] for at in range(0, len(octets), chunk)), KEY.public_key())
    assert list(reader.entries()) == entries
    facts = reader.facts
    assert (facts.number, facts.this_update, facts.base_number) == (7, AT, frame.base_number)
    assert facts.shard_uri == frame.shard_uri
    assert [entry.serial_number for entry in x509.load_der_x509_crl(octets)] == serials


@given(st.data())
@settings(max_examples=150)
def test_a_changed_or_truncated_list_is_refused(data: st.DataObject) -> None:
    octets = bytearray(SIGNED)
    if data.draw(st.booleans()):
        del octets[data.draw(st.integers(0, len(octets) - 1)) :]
    else:
        position = data.draw(st.integers(0, len(octets) - 1))
        octets[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises((CrlMalformed, SigningFault)):
        list(CrlReader([bytes(octets)], KEY.public_key()).entries())


@given(st.binary(max_size=300))
def test_garbage_is_no_list(octets: bytes) -> None:
    with pytest.raises((CrlMalformed, SigningFault)):
        list(CrlReader([der.tlv(der.SEQUENCE, octets)], KEY.public_key()).entries())
