"""Whatever octets are presented as a certificate, they end in CertificateMalformed or in a parsed certificate."""

import warnings
from contextlib import suppress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca_core.validation.errors import CertificateMalformed, CertificateUnknownIssuer, CertificateWrongProfile
from ca_core.validation.model import Purpose
from ca_core.validation.path import PathVerifier, clamped
from ca_core.validation.presented import parse_presented_certificate
from ca_core.validation.rules import verify_profile
from support.fakes import START
from support.small_pki import SmallPki, der_of

PKI = SmallPki()
CERTIFICATES = [
    der_of(PKI.issue(PKI.g3, profile)) for profile in ("citizen-authentication", "citizen-legacy-signature")
]
PATHS = PathVerifier(PKI.authorities, [PKI.root.certificate])


def present(octets: bytes, original: bytes | None = None) -> None:
    """What passes was signed by an authority of ours. Around that, the verifier leaves a little play (the signature's
    count of unused bits); the comparison with the recorded octets takes it away."""
    with suppress(CertificateMalformed, CertificateUnknownIssuer, CertificateWrongProfile):
        presented = parse_presented_certificate(octets)
        moment = clamped(START, presented.not_before, presented.not_after)
        PATHS.verify_issuer(presented.certificate, presented.issuer_key_identifier, moment)
        verify_profile(presented, Purpose.LOGIN)
        assert original is not None, "random octets passed"
        signed = x509.load_der_x509_certificate(original).tbs_certificate_bytes
        assert presented.certificate.tbs_certificate_bytes == signed, "an altered certificate passed"


@given(st.binary(max_size=600))
def test_random_octets(octets: bytes) -> None:
    present(octets)


@given(st.sampled_from(CERTIFICATES), st.integers(0, 2_000))
def test_truncated(der: bytes, size: int) -> None:
    present(der[:size], der)


@given(
    st.sampled_from(CERTIFICATES), st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 7)), min_size=1, max_size=4)
)
def test_flipped_bits(der: bytes, flips: list[tuple[int, int]]) -> None:
    changed = bytearray(der)
    for place, bit in flips:
        changed[place % len(changed)] ^= 1 << bit
    present(bytes(changed), der)


@given(st.sampled_from(CERTIFICATES), st.integers(0, 2_000), st.binary(max_size=12))
def test_octets_put_in(der: bytes, place: int, inserted: bytes) -> None:
    present(der[:place] + inserted + der[place:], der)


@pytest.mark.parametrize("der", CERTIFICATES)
def test_every_single_octet_altered(der: bytes) -> None:
    for place in range(len(der)):
        for value in {der[place] ^ 0x01, der[place] ^ 0x80, 0x00, 0xFF} - {der[place]}:
            present(der[:place] + bytes([value]) + der[place + 1 :], der)


def test_a_serial_that_is_not_positive_is_malformed_however_warnings_are_treated() -> None:
    serial = (0x7A0000000000000000000000000001 >> 112).to_bytes(1, "big")
    place = CERTIFICATES[0].index(b"\x02\x0f" + serial) + 2
    negative = CERTIFICATES[0][:place] + b"\xfa" + CERTIFICATES[0][place + 1 :]
    for treatment in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter("error" if treatment == "error" else "ignore")
            with pytest.raises(CertificateMalformed):
                parse_presented_certificate(negative)
