"""The whole of it, nothing faked: a ceremony, keys in a token, issuance, revocation, and openssl asking over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette

from ca_core.audit import AuditSequencer, verify_log
from ca_core.issuance import CertificateStore, IssuedCertificate
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from ca_core.kernel.web.hop import Hop
from ca_core.keys import KeyAlgorithm
from ca_core.keys.pkcs11 import Pkcs11KeyStore
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService, OcspResponder, Responders, StatusService
from ca_core.status.web import routes
from ca_core.validation import (
    CertificateRevoked,
    CertificateSuspended,
    CertificateUnknown,
    CertificateUnknownIssuer,
    CertificateValidator,
    CertificateWrongProfile,
    Purpose,
)
from support.pki import CITIZEN_PROFILES, MemoryKeyStore, World, ceremony, citizen_request, new_key
from support.processes import required_program, run
from support.served import served
from support.softhsm import SoftHsm

ACTOR = "operator:7"
RUNS = count(1)


@dataclass
class House:
    world: World
    root: str
    g2: str
    g3: str
    revocations: RevocationService
    crls: CrlService
    validator: CertificateValidator
    url: str
    folder: Path

    def issue(self, authority: str, profile: str = "citizen-authentication") -> IssuedCertificate:
        algorithms = self.world.profiles[profile].key_algorithms
        algorithm = KeyAlgorithm.P_256 if KeyAlgorithm.P_256 in algorithms else KeyAlgorithm.RSA_2048
        number = next(RUNS)
        return self.world.issuance.issue(
            citizen_request(
                f"request-{number}",
                profile=profile,
                authority=authority,
                key=new_key(algorithm),
                subject_serial_number=f"{number:016d}",
                card_number=f"{number:016d}",
                person_id=f"person-{number}",
            )
        )

    def pem(self, name: str, *certificates: x509.Certificate) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates))
        return path


@pytest.fixture(params=["token", "software"])
def house(request: pytest.FixtureRequest, database: Database, softhsm: SoftHsm, tmp_path: Path) -> Iterator[House]:
    number = next(RUNS)
    root, g2, g3 = f"va-root-{number}", f"va-g2-{number}", f"va-g3-{number}"
    in_token = request.param == "token"
    keys = Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin) if in_token else MemoryKeyStore()
    world = World(database, system_clock, system_rng, key_store=keys)
    algorithm = KeyAlgorithm.P_384 if in_token else KeyAlgorithm.RSA_4096
    world.hold(ceremony(root=root, issuing=(g2, g3), algorithm=algorithm))
    log, certificates = StatusLog(), CertificateStore()
    status = StatusService(log)
    responders = Responders(database, world.registry, MemoryKeyStore(), status, system_clock)
    assert sorted(responders.ensure(world.issuance, system_rng)) == sorted((root, g2, g3))
    ocsp = OcspResponder(database, world.registry, certificates, status, log, responders, system_clock)
    archive = CrlArchive(database, world.registry)
    app = Starlette(routes=routes(ocsp, archive, world.registry, Hop(database), system_clock))
    with served(app) as url:
        yield House(
            world=world,
            root=root,
            g2=g2,
            g3=g3,
            revocations=RevocationService(database, certificates, world.audit, system_clock),
            crls=CrlService(database, world.registry, keys, log, world.audit, system_clock),
            validator=CertificateValidator(
                database,
                world.registry,
                certificates,
                status,
                system_clock,
                roots=[world.registry.by_slug(root).certificate],
            ),
            url=url,
            folder=tmp_path,
        )


def openssl(*arguments: str | Path, check: bool = True) -> str:
    done = run([required_program("openssl"), *arguments], check=check)
    return done.stdout + done.stderr


def test_openssl_asks_and_fetches_over_http(house: House) -> None:
    registry = house.world.registry
    good, revoked = house.issue(house.g3), house.issue(house.g3)
    house.revocations.revoke(revoked.authority_id, revoked.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert len(house.crls.publish_due()) == 3
    root = registry.by_slug(house.root).certificate
    issuer = house.pem("issuer", registry.by_slug(house.g3).certificate)
    trust = house.pem("trust", root, registry.by_slug(house.g3).certificate)
    lists = house.folder / "lists.pem"
    with httpx2.Client(base_url=house.url) as client:
        for slug in (house.root, house.g2, house.g3):
            fetched = client.get(f"/pki/ca/{slug}.cer")
            assert x509.load_der_x509_certificate(fetched.content) == registry.by_slug(slug).certificate
        crls = [x509.load_der_x509_crl(client.get(f"/pki/crl/{slug}.crl").content) for slug in (house.root, house.g3)]
    lists.write_bytes(b"".join(crl.public_bytes(Encoding.PEM) for crl in crls))
    for name, issued, expected in (("good", good, "good"), ("revoked", revoked, "revoked")):
        leaf = house.pem(name, issued.certificate)
        for digest in ("-sha1", "-sha256"):
            asked = ["-url", f"{house.url}/pki/ocsp", digest, "-cert", str(leaf)]
            said = openssl("ocsp", "-issuer", issuer, "-CAfile", trust, *asked)
            assert "Response verify OK" in said
            assert f"{leaf}: {expected}" in said
            assert "WARNING" not in said
            assert "ERROR" not in said.upper().replace("NO ERROR", "")
        verified = openssl(
            *("verify", "-x509_strict", "-crl_check_all", "-CAfile", house.pem("root", root)),
            *("-untrusted", issuer, "-CRLfile", lists, leaf),
            check=False,
        )
        assert ("certificate revoked" in verified) is (expected == "revoked")
        assert verified.endswith("good.pem: OK\n") is (expected == "good")


def test_validation_of_really_issued_certificates(house: House) -> None:
    for profile in CITIZEN_PROFILES:
        issued = house.issue(house.g3, profile)
        der = issued.certificate.public_bytes(Encoding.DER)
        if profile in ("citizen-authentication", "citizen-legacy-signature"):
            assert house.validator.verify(der, Purpose.LOGIN).certificate_id == issued.certificate_id
        else:
            with pytest.raises(CertificateWrongProfile):
                house.validator.verify(der, Purpose.LOGIN)
    name = (issued.authority_id, house.issue(house.g3).serial)
    issued_again = house.world.registry.by_slug(house.g3)
    with house.world.database.read() as tx:
        found = CertificateStore().find(tx, *name)
    assert found is not None
    assert found.authority_id == issued_again.id
    der = found.certificate.public_bytes(Encoding.DER)
    house.revocations.suspend(*name, ACTOR)
    with pytest.raises(CertificateSuspended):
        house.validator.verify(der, Purpose.LOGIN)
    house.revocations.resume(*name, ACTOR)
    house.validator.verify(der, Purpose.LOGIN)
    house.revocations.revoke(*name, RevocationReason.CESSATION_OF_OPERATION, ACTOR)
    with pytest.raises(CertificateRevoked):
        house.validator.verify(der, Purpose.LOGIN)
    issuing = house.world.registry.by_slug(house.g3)
    for own in (issuing.certificate, house.world.registry.by_slug(house.root).certificate):
        with pytest.raises((CertificateWrongProfile, CertificateUnknownIssuer, CertificateUnknown)):
            house.validator.verify(own.public_bytes(Encoding.DER), Purpose.LOGIN)


def test_the_audit_log_of_all_that_verifies(house: House) -> None:
    issued = house.issue(house.g2)
    house.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    house.crls.publish(house.g2)
    AuditSequencer(house.world.database, system_clock).run_once()
    report = verify_log(house.world.database)
    assert report.waiting == 0
    assert report.chained >= 6
