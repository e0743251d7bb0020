"""CRL frames and OCSP answers under each kind of key, read back by another library."""

from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_core.keys.model import PrivateKey, key_identifier, public_key_bits
from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.model import RevocationReason
from ca_core.status.crl_frame import CrlFrame, certificate_list_header
from ca_core.status.errors import SigningFault
from ca_core.status.model import CertificateState, CertificateStatus, Responder, next_crl_number
from ca_core.status.ocsp_request import parse_ocsp_request
from ca_core.status.ocsp_response import SingleAnswer, signed_response
from ca_core.status.signing import scheme_of, sign_digest, verify_digest_signature
from support.fakes import START
from support.small_pki import CITIZEN_CA_NAME, SmallPki

KEYS: dict[str, PrivateKey] = {
    "rsa2048": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}


def digest_of(key: PrivateKey, octets: bytes) -> bytes:
    state = hashes.Hash(scheme_of(key).hash)
    state.update(octets)
    return state.finalize()


def frame_of(key: PrivateKey, number: int = 2026030209) -> CrlFrame:
    return CrlFrame(
        algorithm_identifier=scheme_of(key).algorithm_identifier,
        issuer=CITIZEN_CA_NAME.public_bytes(),
        key_identifier=key_identifier(key.public_key()),
        number=number,
        this_update=START,
        next_update=START + timedelta(days=1),
    )


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("count", [0, 1, 3, 400])
def test_a_crl_under_each_key(key: PrivateKey, count: int) -> None:
    entries = [crl_entry(number + 1, START, RevocationReason.SUPERSEDED) for number in range(count)]
    frame = frame_of(key)
    tbs = b"".join(frame.tbs(entries, sum(map(len, entries))))
    signature = sign_digest(key, digest_of(key, tbs))
    tail = frame.signed_tail(signature)
    crl = x509.load_der_x509_crl(certificate_list_header(len(tbs), len(tail)) + tbs + tail)
    assert crl.is_signature_valid(key.public_key())
    assert crl.tbs_certlist_bytes == tbs
    assert (crl.issuer, len(crl)) == (CITIZEN_CA_NAME, count)
    assert crl.issuer.public_bytes() == CITIZEN_CA_NAME.public_bytes()
    assert [extension.value for extension in crl.extensions] == [
        x509.AuthorityKeyIdentifier(key_identifier(key.public_key()), None, None),
        x509.CRLNumber(2026030209),
    ]


def test_entries_that_are_not_those_that_were_measured() -> None:
    entry = crl_entry(1, START, RevocationReason.SUPERSEDED)
    with pytest.raises(ValueError, match="changed"):
        list(frame_of(KEYS["p256"]).tbs([entry], len(entry) + 1))


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_signature_by_another_key_is_a_fault(key: PrivateKey) -> None:
    digest = digest_of(key, b"octets")
    verify_digest_signature(key.public_key(), digest, sign_digest(key, digest))
    with pytest.raises(SigningFault):
        verify_digest_signature(key.public_key(), digest_of(key, b"others"), sign_digest(key, digest))


def test_crl_numbers() -> None:
    assert next_crl_number(0, START) == 2026030209
    assert next_crl_number(2026030209, START) == 2026030210
    assert next_crl_number(2026030299, START) == 2026030300
    assert next_crl_number(2026030208, START + timedelta(hours=15)) == 2026030300


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_an_ocsp_answer_under_each_key(key: PrivateKey) -> None:
    pki = SmallPki()
    issued = pki.issue(pki.g3, "ocsp-responder", key=key)
    request = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, pki.g3.certificate, hashes.SHA256())
    parsed = parse_ocsp_request(request.build().public_bytes(Encoding.DER), max_bytes=8_192, max_certificates=1)
    responder = Responder(
        authority_id=pki.g3.id,
        certificate_id=issued.certificate_id,
        certificate_der=issued.certificate.public_bytes(Encoding.DER),
        key_identifier=key_identifier(key.public_key()),
        not_before=START,
        not_after=START + timedelta(days=30),
        private_key=key,
    )
    status = CertificateStatus(state=CertificateState.REVOKED, reason=RevocationReason.AA_COMPROMISE, since=START)
    der = signed_response(
        responder,
        (SingleAnswer(cert_id=parsed.cert_ids[0].octets, status=status),),
        this_update=START,
        next_update=START + timedelta(minutes=1),
        nonce=b"n",
    )
    response = ocsp.load_der_ocsp_response(der)
    verify_digest_signature(key.public_key(), digest_of(key, response.tbs_response_bytes), response.signature)
    assert response.revocation_reason is x509.ReasonFlags.aa_compromise
    assert response.issuer_key_hash == sha256(public_key_bits(pki.g3.public_key)).digest()


def test_a_status_that_is_not_good_and_has_no_date_is_never_called_good() -> None:
    key = KEYS["p256"]
    responder = Responder(
        authority_id=1,
        certificate_id=1,
        certificate_der=b"\x30\x00",
        key_identifier=b"k" * 20,
        not_before=START,
        not_after=START,
        private_key=key,
    )
    broken = SingleAnswer(cert_id=b"\x30\x00", status=CertificateStatus(state=CertificateState.REVOKED))
    with pytest.raises(TypeError):
        signed_response(responder, (broken,), this_update=START, next_update=START, nonce=None)
