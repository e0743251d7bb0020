from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_core.profiles.oids import ASSURANCE_LEVEL_3, CITIZEN_AUTHENTICATION_POLICY, CITIZEN_SIGNATURE_POLICY
from ca_core.validation.errors import CertificateMalformed, CertificateRefused, CertificateWrongProfile
from ca_core.validation.model import Purpose
from ca_core.validation.presented import PresentedCertificate, parse_presented_certificate
from ca_core.validation.rules import verify_profile
from support.small_pki import SmallPki, der_of, key_usage

PKI = SmallPki()
AUTHENTICATION = parse_presented_certificate(der_of(PKI.issue(PKI.g3, "citizen-authentication")))
LEGACY = parse_presented_certificate(der_of(PKI.issue(PKI.g3, "citizen-legacy-signature")))
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string


def test_the_two_profiles_that_log_in() -> None:
    assert verify_profile(AUTHENTICATION, Purpose.LOGIN) == "citizen-authentication"
    assert verify_profile(LEGACY, Purpose.LOGIN) == "citizen-legacy-signature"
    deployed = replace(LEGACY, key_usage=key_usage("digital_signature"))
    assert verify_profile(deployed, Purpose.LOGIN) == "citizen-legacy-signature"


@pytest.mark.parametrize(
    "presented",
    [
        replace(AUTHENTICATION, is_ca=True),
        replace(AUTHENTICATION, key_usage=None),
        replace(AUTHENTICATION, key_usage=key_usage("content_commitment")),
        replace(AUTHENTICATION, key_usage=key_usage("digital_signature", "content_commitment")),
        replace(AUTHENTICATION, key_usage=key_usage("digital_signature", "key_cert_sign")),
        replace(AUTHENTICATION, extended_key_usage=None),
        replace(AUTHENTICATION, extended_key_usage=frozenset()),
        replace(AUTHENTICATION, extended_key_usage=frozenset({CLIENT, "2.5.29.37.0"})),
        replace(AUTHENTICATION, policies=frozenset()),
        replace(AUTHENTICATION, policies=frozenset({CITIZEN_SIGNATURE_POLICY})),
        replace(AUTHENTICATION, policies=frozenset({CITIZEN_AUTHENTICATION_POLICY, CITIZEN_SIGNATURE_POLICY})),
        replace(AUTHENTICATION, policies=frozenset({ASSURANCE_LEVEL_3})),
        replace(AUTHENTICATION, policies=frozenset({CITIZEN_AUTHENTICATION_POLICY + "0"})),
        replace(LEGACY, key_usage=key_usage("content_commitment")),
        replace(LEGACY, key_usage=key_usage("digital_signature", "key_encipherment")),
        replace(LEGACY, extended_key_usage=frozenset({CLIENT})),
        replace(LEGACY, policies=frozenset({ASSURANCE_LEVEL_3, CITIZEN_SIGNATURE_POLICY})),
        replace(LEGACY, policies=frozenset()),
    ],
)
def test_anything_else_does_not(presented: PresentedCertificate) -> None:
    with pytest.raises(CertificateWrongProfile):
        verify_profile(presented, Purpose.LOGIN)


def test_a_version_1_certificate_is_malformed() -> None:
    der = PKI.g3.certificate.public_bytes(Encoding.DER)
    with pytest.raises(CertificateMalformed):
        parse_presented_certificate(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x00", 1))


def test_each_refusal_has_a_code_of_its_own() -> None:
    codes = [refusal.code for refusal in CertificateRefused.__subclasses__()]
    assert sorted(codes) == [
        "certificate_expired",
        "certificate_malformed",
        "certificate_not_yet_valid",
        "certificate_revoked",
        "certificate_suspended",
        "certificate_unknown",
        "certificate_unknown_issuer",
        "certificate_wrong_profile",
    ]
