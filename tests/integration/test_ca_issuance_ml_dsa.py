"""A chain of ML-DSA beside the others: root, issuing authority, citizens, an operator, its lists and answers.

Each signature is verified by two implementations that share nothing: cryptography's, and dilithium-py.
"""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from dilithium_py.ml_dsa import ML_DSA_65, ML_DSA_87

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.crl_shards import ShardLayouts
from ca_core.issuance import IssuanceRequest, IssuedCertificate, PossessionNotProven
from ca_core.issuance.model import LintMode
from ca_core.issuance.store import CertificateStore
from ca_core.kernel.database import Database
from ca_core.keys import KeyAlgorithm, KeyStoreFault, SoftwareKeyStore
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import MlDsaPublicKey, key_algorithm_of, spki_octets
from ca_core.keys.pkcs11 import Pkcs11KeyStore
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import RevocationReason
from ca_core.revocation.service import RevocationService
from ca_core.status import CrlArchive, CrlService, OcspResponder, Responders, StatusService
from ca_core.status.signing import hasher_of, sign_digest, verify_digest_signature
from support.fakes import FakeClock, SeededRng
from support.ocsp_requests import ocsp_request
from support.pki import PUBLICATION_URL, World, ceremony, certification_request, citizen_request, new_key
from support.softhsm import SoftHsm

ALGORITHMS = (KeyAlgorithm.ML_DSA_65, KeyAlgorithm.ML_DSA_87)
SECOND = {KeyAlgorithm.ML_DSA_65: ML_DSA_65, KeyAlgorithm.ML_DSA_87: ML_DSA_87}
OIDS = {KeyAlgorithm.ML_DSA_65: "2.16.840.1.101.3.4.3.18", KeyAlgorithm.ML_DSA_87: "2.16.840.1.101.3.4.3.19"}


@pytest.fixture
def keys(tmp_path: Path) -> SoftwareKeyStore:
    return SoftwareKeyStore(tmp_path / "keys", b"for tests only")


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng, keys: SoftwareKeyStore) -> World:
    made = World(database, clock, rng, key_store=keys)
    text = ceremony(root_algorithm=KeyAlgorithm.ML_DSA_87, algorithm=KeyAlgorithm.ML_DSA_65)
    made.hold(text)
    return made


def verify_twice(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """By cryptography and by dilithium-py; and neither accepts an altered signature."""
    key = issuer.public_key()
    assert isinstance(key, MlDsaPublicKey)
    algorithm = key_algorithm_of(key)
    assert certificate.signature_algorithm_oid.dotted_string == OIDS[algorithm]
    certificate.verify_directly_issued_by(issuer)
    second, octets = SECOND[algorithm], certificate.tbs_certificate_bytes
    assert second.verify(key.public_bytes_raw(), octets, certificate.signature)
    altered = bytearray(certificate.signature)
    altered[100] ^= 1
    assert not second.verify(key.public_bytes_raw(), octets, bytes(altered))
    with pytest.raises(InvalidSignature):
        key.verify(bytes(altered), octets)


def test_the_chain_is_verified_by_two_implementations(world: World) -> None:
    root, issuing = (world.registry.by_slug(slug).certificate for slug in ("root-g1", "citizen-g1"))
    verify_twice(root, root)
    verify_twice(issuing, root)
    for mode in LintMode:
        (one,) = world.issuance.issue_many([citizen_request(f"r-{mode}")], lint=mode)
        assert isinstance(one, IssuedCertificate)
        verify_twice(one.certificate, issuing)
    assert world.issuance.recover().recovered == ()


def test_an_operators_ml_dsa_key_is_certified_when_it_is_proven(
    database: Database, clock: FakeClock, rng: SeededRng, keys: SoftwareKeyStore
) -> None:
    world = World(database, clock, rng, key_store=keys)
    text = ceremony(root_algorithm=KeyAlgorithm.ML_DSA_87, algorithm=KeyAlgorithm.ML_DSA_65)
    changed = text.text.replace('"internal-tls"', '"internal-tls", "operator"')
    world.hold(parse_ceremony(changed.encode()))
    key, other = (new_key(KeyAlgorithm.ML_DSA_65) for _ in range(2))

    def request(proof: x509.CertificateSigningRequest) -> IssuanceRequest:
        return IssuanceRequest(
            request_id="operator",
            profile="operator",
            authority="citizen-g1",
            public_key=key.public_key(),
            actor="operator:1",
            common_name="陳稽核",
            csr=proof,
        )

    with pytest.raises(PossessionNotProven):
        world.issuance.issue(request(certification_request(other)))
    certificate = world.issuance.issue(request(certification_request(key))).certificate
    verify_twice(certificate, world.registry.by_slug("citizen-g1").certificate)
    assert certificate.public_key() == key.public_key()


def verify_list_twice(der: bytes | None, key: MlDsaPublicKey) -> x509.CertificateRevocationList:
    assert der is not None
    crl = x509.load_der_x509_crl(der)
    assert crl.is_signature_valid(key)
    assert ML_DSA_65.verify(key.public_bytes_raw(), crl.tbs_certlist_bytes, crl.signature)
    altered = crl.tbs_certlist_bytes[:-1] + bytes([crl.tbs_certlist_bytes[-1] ^ 1])
    assert not ML_DSA_65.verify(key.public_bytes_raw(), altered, crl.signature)
    return crl


def test_it_revokes_and_lists(database: Database, world: World, keys: SoftwareKeyStore) -> None:
    """The complete list, its delta, and both shards."""
    authority = world.registry.by_slug("citizen-g1")
    shards = ShardLayouts(database, world.audit, world.clock)
    shards.introduce(authority.id, authority.slug, count=2, publication_url=PUBLICATION_URL, actor="operator:1")
    world.issuance._crl_shards = shards
    issued = world.issuance.issue(citizen_request())
    crls = CrlService(
        database,
        world.registry,
        keys,
        StatusLog(),
        world.audit,
        world.clock,
        publication_url=PUBLICATION_URL,
        shards=shards,
    )
    crls.publish("citizen-g1")
    revocation = RevocationService(database, CertificateStore(), world.audit, world.clock)
    revocation.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, "operator:1")
    crls.publish_delta("citizen-g1")
    archive, key = CrlArchive(database, world.registry), authority.public_key
    assert isinstance(key, MlDsaPublicKey)
    delta = verify_list_twice(archive.latest_delta("citizen-g1"), key)
    crls.publish("citizen-g1")
    complete = verify_list_twice(archive.latest("citizen-g1"), key)
    both = [verify_list_twice(archive.latest_shard("citizen-g1", number), key) for number in range(2)]
    assert issued.crl_shard is not None
    for crl in (delta, complete, both[issued.crl_shard]):
        assert crl.get_revoked_certificate_by_serial_number(issued.serial) is not None
    assert len(both[1 - issued.crl_shard]) == 0


def test_its_status_is_answered_by_a_delegate_that_both_believe(
    database: Database, world: World, keys: SoftwareKeyStore
) -> None:
    log, authority = StatusLog(), world.registry.by_slug("citizen-g1")
    issued = world.issuance.issue(citizen_request())
    responders = Responders(database, world.registry, keys, StatusService(log), world.clock)
    assert sorted(responders.ensure(world.issuance, SeededRng(3))) == ["citizen-g1", "root-g1"]
    responder = OcspResponder(
        database, world.registry, CertificateStore(), StatusService(log), log, responders, world.clock
    )
    revocation = RevocationService(database, CertificateStore(), world.audit, world.clock)
    said = []
    for _ in range(2):
        answer = ocsp.load_der_ocsp_response(responder.respond(ocsp_request(issued, authority)).der)
        (delegate,) = answer.certificates
        verify_twice(delegate, authority.certificate)
        signer, algorithm = delegate.public_key(), answer.signature_hash_algorithm
        assert isinstance(signer, ec.EllipticCurvePublicKey) and algorithm is not None
        signer.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        said.append(answer.certificate_status)
        if len(said) == 1:
            revocation.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, "operator:1")
            world.clock.advance(1)  # type: ignore[attr-defined]  # the fake
    assert said == [ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_octets_that_stream_by_are_signed_as_if_they_had_been_whole(algorithm: KeyAlgorithm) -> None:
    key = new_key(algorithm)
    public_key = key.public_key()
    assert isinstance(public_key, MlDsaPublicKey)
    hasher = hasher_of(public_key)
    for part in (b"a" * 1_000, b"", b"b"):
        hasher.update(part)
    digest = hasher.finalize()
    signature = sign_digest(key, digest)
    verify_digest_signature(public_key, digest, signature)
    public_key.verify(signature, b"a" * 1_000 + b"b")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_kept_in_an_encrypted_file_and_in_no_token(
    keys: SoftwareKeyStore, tmp_path: Path, softhsm: SoftHsm, algorithm: KeyAlgorithm
) -> None:
    key = keys.generate("pq", algorithm)
    again = SoftwareKeyStore(tmp_path / "keys", b"for tests only").private_key("pq")
    assert spki_octets(again.public_key()) == spki_octets(key.public_key())
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "keys" / "pq.pem").read_bytes()
    with pytest.raises(KeyStoreFault):
        SoftwareKeyStore(tmp_path / "keys", b"another passphrase").private_key("pq")
    with pytest.raises(KeyAlgorithmRefused):
        Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin).generate("pq", algorithm)


def test_the_certificate_is_der_that_both_can_read(world: World) -> None:
    certificate = world.issuance.issue(citizen_request()).certificate
    assert x509.load_der_x509_certificate(certificate.public_bytes(Encoding.DER)) == certificate
