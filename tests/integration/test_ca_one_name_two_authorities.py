"""Two authorities of one name whose serials are equal: what is done in one changes nothing in the other, anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from typer.testing import CliRunner

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.model import Authority
from ca_core.issuance import IssuedCertificate
from ca_core.kernel.clock import system_clock
from ca_core.kernel.rng import system_rng
from ca_core.kernel.settings import Role, load_settings
from ca_core.revocation import RevocationReason
from ca_core.signer.client import RemoteIssuance, RemoteLists
from ca_core.status import OcspResponder, Responders
from ca_core.status.crl_checker import CrlChecker
from ca_core.validation import CertificateRevoked, CertificateSuspended, CertificateValidator, Purpose
from idp.cli import app
from idp.main.authority import CertificationAuthority
from idp.main.continuity import migration_service
from support.old_house import OldHouse, write_pem
from support.pki import PUBLICATION_URL, ceremony_toml, citizen_request
from support.processes import required_program, run
from support.signer_deployment import Deployment

SLUGS = ("citizen-g1", "citizen-g2")
ACTOR = "operator:7"
SHA1, SHA256 = hashes.SHA1(), hashes.SHA256()  # noqa: S303 - what clients name issuers by


class MovedClock:
    """The machine's clock, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


class ChosenSerials:
    """Octets by chance, but for the serials that a test asks for: those are the next of 16 octets."""

    def __init__(self) -> None:
        self.next: list[int] = []

    def __call__(self, size_bytes: int) -> bytes:
        if size_bytes == 16 and self.next:
            return self.next.pop().to_bytes(16, "big")
        return system_rng(size_bytes)


@dataclass
class House:
    """The authorities `citizen-g1` and `citizen-g2` in one deployment, whose signer is a process of its own."""

    deployment: Deployment
    ca: CertificationAuthority
    clock: MovedClock
    serials: ChosenSerials
    folder: Path
    made: int = 0
    twins: dict[int, dict[str, IssuedCertificate]] = field(default_factory=dict)

    def authority(self, slug: str) -> Authority:
        return self.ca.registry.by_slug(slug)

    def issue_twins(self) -> int:
        """One serial under both, both on lists and asked about by OCSP while they are good; returns the serial."""
        self.made += 1
        serial = (0x51 << 112) + self.made
        twins = self.twins[serial] = {}
        for slug in SLUGS:
            self.serials.next = [serial]
            request = citizen_request(
                f"twin-{self.made}-{slug}",
                authority=slug,
                card_number=f"{2 * self.made + SLUGS.index(slug):016d}",
                person_id=f"person-{slug}",
            )
            twins[slug] = self.ca.issuance.issue(request)
            assert twins[slug].serial == serial
        for slug in SLUGS:
            self.ca.crls.publish(slug)
            for by in (SHA1, SHA256):
                assert self.ask(self.ca.ocsp, serial, slug, by) is ocsp.OCSPCertStatus.GOOD
        self.ca.ocsp.presigned.run_once()
        return serial

    def node(self) -> OcspResponder:
        """A responder with nothing in its memory."""
        ca = self.ca
        responders = Responders(ca.database, ca.registry, ca.key_store, ca.status, ca.clock)
        return OcspResponder(ca.database, ca.registry, ca.certificates, ca.status, ca.status_log, responders, ca.clock)

    def ask(
        self, responder: OcspResponder, serial: int, slug: str, by: hashes.HashAlgorithm, nonce: bytes | None = None
    ) -> ocsp.OCSPCertStatus:
        """The status in an answer that a delegate of that very authority signed, about that very certificate."""
        certificate, issuer = self.twins[serial][slug].certificate, self.authority(slug).certificate
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, by)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), False)
        answered = responder.respond(builder.build().public_bytes(Encoding.DER)).der
        response = ocsp.load_der_ocsp_response(answered)
        response.certificates[0].verify_directly_issued_by(issuer)
        if response.certificate_status is ocsp.OCSPCertStatus.GOOD:
            assert sha256(certificate.public_bytes(Encoding.DER)).digest() in answered  # certHash
        return response.certificate_status

    def verdicts(self, serial: int, slug: str) -> dict[str, bool]:
        """For each interface whether it says that the certificate is not good. New lists are published before."""
        ca, issued = self.ca, self.twins[serial][slug]
        self.ca.crls.publish_delta(slug)
        delta = _loaded(ca.crl_archive.latest_delta(slug))
        ca.ocsp.presigned.run_once()
        revoked = ocsp.OCSPCertStatus.REVOKED
        found = {
            f"OCSP {name} {by.name} {'nonce' if nonce else ''}": self.ask(responder, serial, slug, by, nonce) is revoked
            for name, responder in (("kept", ca.ocsp), ("stored", self.node()))
            for by in (SHA1, SHA256)
            for nonce in (None, b"n" * 32)
        }
        self.ca.crls.publish(slug)
        complete = _loaded(ca.crl_archive.latest(slug))
        assert issued.crl_shard is not None
        shard = _loaded(ca.crl_archive.latest_shard(slug, issued.crl_shard))
        for name, crl in (("delta", delta), ("complete", complete), ("shard", shard)):
            key = self.authority(slug).certificate.public_key()
            assert crl.is_signature_valid(key)  # type: ignore[arg-type]  # an EC key
            found[name] = crl.get_revoked_certificate_by_serial_number(serial) is not None
        with ca.database.read() as tx:
            found["database"] = not ca.status.status_of(tx, issued.certificate_id).is_good
        return {**found, "login": self._is_refused(issued), "openssl": self._openssl_refuses(issued)}

    def _is_refused(self, issued: IssuedCertificate) -> bool:
        ca = self.ca
        roots = [self.authority("root-g1").certificate]
        validator = CertificateValidator(ca.database, ca.registry, ca.certificates, ca.status, ca.clock, roots=roots)
        try:
            validated = validator.verify(issued.certificate.public_bytes(Encoding.DER), Purpose.LOGIN)
        except (CertificateRevoked, CertificateSuspended):
            return True
        assert (validated.certificate_id, validated.authority_id) == (issued.certificate_id, issued.authority_id)
        return False

    def _openssl_refuses(self, issued: IssuedCertificate) -> bool:
        """Given everything at once: both issuers, and both complete lists."""
        root, between, leaf, lists = (self.folder / f"{name}.pem" for name in ("root", "between", "leaf", "lists"))
        _write(root, self.authority("root-g1").certificate)
        _write(between, *(self.authority(slug).certificate for slug in SLUGS))
        _write(leaf, issued.certificate)
        _write(lists, *(_loaded(self.ca.crl_archive.latest(slug)) for slug in SLUGS))
        at = str(int(self.clock().timestamp()))
        trust: list[str | Path] = ["-CAfile", root, "-untrusted", between, "-CRLfile", lists]
        done = run([required_program("openssl"), "verify", "-crl_check", "-attime", at, *trust, leaf], check=False)
        is_revoked = "certificate revoked" in done.stdout + done.stderr
        assert is_revoked or done.returncode == 0, done.stdout + done.stderr
        return is_revoked

    def only(self, serial: int, changed: str | None) -> None:
        """Every interface says so of the changed one, and none of them of its twin; every list is what it should be.

        A second later: that long a node may go on saying what it said.
        """
        self.clock.ahead += timedelta(seconds=1)
        for slug in SLUGS:
            said = self.verdicts(serial, slug)
            assert said == dict.fromkeys(said, slug == changed), slug
            checker = CrlChecker(
                self.ca.database, self.ca.registry, self.ca.status_log, self.ca.clock, shards=self.ca.shards
            )
            assert checker.check(slug).faults == []

    def command(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.deployment.config("ca"))])
        assert done.exit_code == 0, done.output
        return done.stdout


def _loaded(der: bytes | None) -> x509.CertificateRevocationList:
    assert der is not None
    return x509.load_der_x509_crl(der)


def _write(path: Path, *several: x509.Certificate | x509.CertificateRevocationList) -> None:
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in several))


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("one-name")
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    deployment.found(sqlite_template)
    clock, serials = MovedClock(), ChosenSerials()
    settings = load_settings(deployment.config("ca"), role=Role.ALL)
    ca = CertificationAuthority(settings, clock=clock, rng=serials)
    try:
        ca.ceremonies.run(
            parse_ceremony(ceremony_toml(with_root=False, issuing=SLUGS[1:]).encode()), held_by="operator:ceremony"
        )
        names = {ca.registry.by_slug(slug).certificate.subject.public_bytes() for slug in SLUGS}
        assert len(names) == 1
        for slug in SLUGS:
            ca.shards.introduce(
                ca.registry.by_slug(slug).id, slug, count=2, publication_url=PUBLICATION_URL, actor=ACTOR
            )
        ca.ensure_responders()
        ca.crls.publish_due()
        deployment.start("ca")
        yield House(deployment, ca, clock, serials, folder)
    finally:
        ca.close()
        deployment.close()


@pytest.mark.parametrize("changed", SLUGS)
def test_revoked_by_the_service(house: House, changed: str) -> None:
    serial = house.issue_twins()
    house.only(serial, None)
    house.ca.revocation.revoke(house.authority(changed).id, serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    house.only(serial, changed)


@pytest.mark.parametrize("changed", SLUGS)
def test_suspended_resumed_and_revoked_by_command(house: House, changed: str) -> None:
    serial = house.issue_twins()
    name = ("--authority", changed, "--serial", f"{serial:x}")
    house.command("ca", "suspend", *name)
    house.only(serial, changed)
    house.command("ca", "resume", *name)
    with house.ca.database.read() as tx:
        states = [house.ca.status.status_of(tx, twin.certificate_id).is_good for twin in house.twins[serial].values()]
    assert states == [True, True]
    house.command("ca", "revoke", *name, "--reason", "keyCompromise")
    house.only(serial, changed)


def test_the_signers_port_makes_the_list_of_one(house: House) -> None:
    serial = house.issue_twins()
    house.ca.revocation.revoke(house.authority("citizen-g2").id, serial, RevocationReason.SUPERSEDED, ACTOR)
    other = house.ca.crl_archive.latest("citizen-g1")
    with house.deployment.opened("worker") as worker:
        assert isinstance(worker.issuer, RemoteIssuance) and isinstance(worker.lists, RemoteLists)
        record = worker.lists.publish("citizen-g2")
    assert record.authority_id == house.authority("citizen-g2").id
    crl = _loaded(house.ca.crl_archive.latest("citizen-g2"))
    assert crl.get_revoked_certificate_by_serial_number(serial) is not None
    assert crl.is_signature_valid(house.authority("citizen-g2").certificate.public_key())  # type: ignore[arg-type]  # EC
    assert house.ca.crl_archive.latest("citizen-g1") == other
    house.only(serial, "citizen-g2")


def test_a_list_of_a_third_of_that_name_is_imported(house: House, tmp_path: Path) -> None:
    serial = house.issue_twins()
    old = OldHouse()
    service = migration_service(house.ca, with_holders=False)
    for slug in ("root", "g1"):
        service.authorities.add(old.authorities[slug].public_bytes(Encoding.PEM), slug=f"old-{slug}", actor=ACTOR)
    third = house.authority("old-g1")
    assert third.certificate.subject.public_bytes() == house.authority("citizen-g1").certificate.subject.public_bytes()
    source = write_pem(tmp_path / "g1.pem", [old.certificate(1, serial=serial)])
    assert service.import_certificates(source, "old-g1", actor=ACTOR, without_holders=True).accepted == 1
    moment = system_clock().replace(microsecond=0)
    listed = old.crl({serial: (moment, x509.ReasonFlags.key_compromise)})
    (tmp_path / "g1.crl").write_bytes(listed.public_bytes(Encoding.DER))
    assert service.import_crl(tmp_path / "g1.crl", "old-g1", actor=ACTOR).accepted == 1
    house.only(serial, None)
    with house.ca.database.read() as tx:
        imported = house.ca.certificates.find(tx, third.id, serial)
        assert imported is not None
        assert not house.ca.status.status_of(tx, imported.certificate_id).is_good
    house.ca.revocation.revoke(house.authority("citizen-g1").id, serial, RevocationReason.SUPERSEDED, ACTOR)
    house.only(serial, "citizen-g1")
