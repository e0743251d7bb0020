"""Keys that sign elsewhere, in cryptography's builders; "elsewhere" is a software key here."""

import copy
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp

from ca_core.keys.hsm_keys import HsmEcPrivateKey, HsmRsaPrivateKey
from ca_core.keys.model import PrivateKey

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP384R1())
HASHES = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]


def raw_rsa(digest_info: bytes) -> bytes:
    return RSA.sign(digest_info, padding.PKCS1v15(), NoDigestInfo())


def raw_ec(digest: bytes) -> bytes:
    hash_of_that_size = next(h for h in HASHES if h.digest_size == len(digest))
    r, s = decode_dss_signature(EC.sign(digest, ec.ECDSA(Prehashed(hash_of_that_size))))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


RSA_KEY = HsmRsaPrivateKey(RSA.public_key(), raw_rsa)
EC_KEY = HsmEcPrivateKey(EC.public_key(), raw_ec)


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda h: h.name)
def test_signatures_verify(algorithm: hashes.HashAlgorithm) -> None:
    RSA.public_key().verify(RSA_KEY.sign(b"o", padding.PKCS1v15(), algorithm), b"o", padding.PKCS1v15(), algorithm)
    EC.public_key().verify(EC_KEY.sign(b"o", ec.ECDSA(algorithm)), b"o", ec.ECDSA(algorithm))


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda h: h.name)
def test_a_digest_that_the_caller_made_is_signed_as_it_is(algorithm: hashes.HashAlgorithm) -> None:
    state = hashes.Hash(algorithm)
    state.update(b"o")
    digest = state.finalize()
    RSA.public_key().verify(
        RSA_KEY.sign(digest, padding.PKCS1v15(), Prehashed(algorithm)), b"o", padding.PKCS1v15(), algorithm
    )
    EC.public_key().verify(EC_KEY.sign(digest, ec.ECDSA(Prehashed(algorithm))), b"o", ec.ECDSA(algorithm))
    with pytest.raises(ValueError):
        EC_KEY.sign(digest[:-1], ec.ECDSA(Prehashed(algorithm)))


def test_what_the_hsm_is_not_asked_for_is_refused() -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    with pytest.raises(UnsupportedAlgorithm):
        RSA_KEY.sign(b"o", pss, hashes.SHA256())
    with pytest.raises(UnsupportedAlgorithm):
        RSA_KEY.sign(b"o", padding.PKCS1v15(), NoDigestInfo())
    with pytest.raises(UnsupportedAlgorithm):
        RSA_KEY.sign(b"o", padding.PKCS1v15(), hashes.SHA224())
    with pytest.raises(UnsupportedAlgorithm):
        EC_KEY.sign(b"o", ec.ECDSA(hashes.SHA224()))
    with pytest.raises(UnsupportedAlgorithm):
        RSA_KEY.decrypt(b"o", padding.PKCS1v15())
    with pytest.raises(UnsupportedAlgorithm):
        EC_KEY.exchange(ec.ECDH(), EC.public_key())


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
def test_the_key_itself_is_not_to_be_had(key: HsmRsaPrivateKey | HsmEcPrivateKey) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        key.private_numbers()
    with pytest.raises(UnsupportedAlgorithm):
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert copy.copy(key) is key
    assert copy.deepcopy(key) is key


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
def test_the_builders_take_it(key: PrivateKey) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now.replace(year=2027))
        .public_key(key.public_key())
        .sign(key, hashes.SHA384())
    )
    certificate.verify_directly_issued_by(certificate)
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(now)
        .next_update(now.replace(day=3))
        .sign(key, hashes.SHA384())
    )
    assert crl.is_signature_valid(key.public_key())
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(certificate, certificate, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, now, None, None, None)
        .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        .sign(key, hashes.SHA384())
    )
    assert response.signature
