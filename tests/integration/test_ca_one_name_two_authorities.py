"""Two authorities of one name whose serials are equal: what is done in one changes nothing in the other, anywhere."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
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
from idp.main.adapters import LoginCertificates
from idp.main.app import validation_authority_app
from idp.main.authority import CertificationAuthority
from idp.main.continuity import migration_service
from support.asgi import AsgiTransport
from support.card_login import Card, LoginHouse
from support.fakes import FakeClock, SeededRng
from support.old_house import OldHouse, write_pem
from support.pki import PUBLICATION_URL, ceremony_toml, citizen_request
from support.postgresql import PostgresqlServer
from support.processes import required_program, run
from support.signer_deployment import Deployment
from support.tables import create_tables

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
    http: httpx2.Client
    login: LoginHouse
    made: int = 0
    cards: dict[tuple[int, str], Card] = field(default_factory=dict)
    twins: dict[int, dict[str, IssuedCertificate]] = field(default_factory=dict)

    def authority(self, slug: str) -> Authority:
        return self.ca.registry.by_slug(slug)

    def issue_twins(self) -> int:
        """One serial under both, both on lists and asked about by OCSP while they are good; returns the serial."""
        self.made += 1
        serial = (0x51 << 112) + self.made
        twins = self.twins[serial] = {}
        for slug in SLUGS:
            twins[slug] = self.issue(serial, slug)
        for slug in SLUGS:
            self.ca.crls.publish(slug)
            for by in (SHA1, SHA256):
                assert self.ask(self.ca.ocsp, serial, slug, by) is ocsp.OCSPCertStatus.GOOD
        self.ca.ocsp.presigned.run_once()
        return serial

    def issue(self, serial: int, slug: str, number: int | None = None) -> IssuedCertificate:
        """A card's certificate of that serial."""
        self.serials.next = [serial]
        key, place = ec.generate_private_key(ec.SECP256R1()), SLUGS.index(slug) + 1
        request = citizen_request(
            f"twin-{serial:x}-{slug}",
            authority=slug,
            key=key,
            card_number=f"{2 * self.made + place if number is None else number:016d}",
            person_id=f"person-{place}",
        )
        issued = self.ca.issuance.issue(request)
        assert issued.serial == serial
        self.cards[serial, slug] = Card(key, issued.certificate.public_bytes(Encoding.DER))
        return issued

    def node(self) -> OcspResponder:
        """A responder with nothing in its memory."""
        ca = self.ca
        responders = Responders(ca.database, ca.registry, ca.key_store, ca.status, ca.clock)
        return OcspResponder(ca.database, ca.registry, ca.certificates, ca.status, ca.status_log, responders, ca.clock)

    def ask(
        self, responder: OcspResponder, serial: int, slug: str, by: hashes.HashAlgorithm, nonce: bytes | None = None
    ) -> ocsp.OCSPCertStatus:
        """The status in an answer, as `said`."""
        return self.said(serial, slug, responder.respond(self.request(serial, slug, by, nonce)).der)

    def request(self, serial: int, slug: str, by: hashes.HashAlgorithm, nonce: bytes | None = None) -> bytes:
        certificate, issuer = self.twins[serial][slug].certificate, self.authority(slug).certificate
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, by)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), False)
        return builder.build().public_bytes(Encoding.DER)

    def said(self, serial: int, slug: str, answered: bytes) -> ocsp.OCSPCertStatus:
        """The status in an answer that a delegate of that very authority signed, with that very certificate's hash."""
        response = ocsp.load_der_ocsp_response(answered)
        response.certificates[0].verify_directly_issued_by(self.authority(slug).certificate)
        digests = {
            twin: sha256(issued.certificate.public_bytes(Encoding.DER)).digest()
            for twin, issued in self.twins[serial].items()
        }
        if response.certificate_status is ocsp.OCSPCertStatus.GOOD:  # certHash
            assert [twin for twin, digest in digests.items() if digest in answered] == [slug]
        return response.certificate_status

    def over_http(self, serial: int, slug: str) -> dict[str, ocsp.OCSPCertStatus]:
        """OCSP by POST and by GET, of both digests."""
        found = {}
        for by in (SHA1, SHA256):
            asked = self.request(serial, slug, by)
            for name, answer in (
                ("POST", self.http.post("/pki/ocsp", content=asked)),
                ("GET", self.http.get(f"/pki/ocsp/{quote(b64encode(asked), safe='')}")),
            ):
                assert answer.status_code == 200
                found[f"OCSP {name} {by.name}"] = self.said(serial, slug, answer.content)
        return found

    def crl(self, path: str) -> x509.CertificateRevocationList:
        answer = self.http.get(f"/pki/crl/{path}")
        assert answer.status_code == 200
        return x509.load_der_x509_crl(answer.content)

    def verdicts(self, serial: int, slug: str) -> dict[str, bool]:
        """For each interface whether it says that the certificate is not good. New lists are published before."""
        ca, issued = self.ca, self.twins[serial][slug]
        self.ca.crls.publish_delta(slug)
        delta = self.crl(f"{slug}-delta.crl")
        ca.ocsp.presigned.run_once()
        revoked = ocsp.OCSPCertStatus.REVOKED
        found = {
            f"OCSP {name} {by.name} {'nonce' if nonce else ''}": self.ask(responder, serial, slug, by, nonce) is revoked
            for name, responder in (("kept", ca.ocsp), ("stored", self.node()))
            for by in (SHA1, SHA256)
            for nonce in (None, b"n" * 32)
        }
        found |= {name: status is revoked for name, status in self.over_http(serial, slug).items()}
        self.ca.crls.publish(slug)
        complete, shard = self.crl(f"{slug}.crl"), self.crl(f"{slug}/{issued.crl_shard}.crl")
        for name, crl in (("delta", delta), ("complete", complete), ("shard", shard)):
            key = self.authority(slug).certificate.public_key()
            assert crl.is_signature_valid(key)  # type: ignore[arg-type]  # an EC key
            found[name] = crl.get_revoked_certificate_by_serial_number(serial) is not None
        with ca.database.read() as tx:
            found["database"] = not ca.status.status_of(tx, issued.certificate_id).is_good
            told = [event.name for event in ca.audit.recent(tx, limit=200) if event.subject == subject(issued)]
        found["audit"] = not {"certificate.revoked", "certificate.suspended"}.isdisjoint(told)
        found["validation"] = self._is_refused(issued)
        found["card login"] = self._login_is_refused(serial, slug)
        return {**found, "openssl": self._openssl_refuses(issued)}

    def _login_is_refused(self, serial: int, slug: str) -> bool:
        """A whole login with that card, statement and signature included."""
        house = self.login
        house.interactions.begin()
        token = self.cards[serial, slug].token(house.challenge().challenge_nonce)
        try:
            login = house.service.authenticate(house.entry(), token)
        except (CertificateRevoked, CertificateSuspended):
            return True
        assert login.session.certificate_id == self.twins[serial][slug].certificate_id
        assert login.session.person_id == f"person-{SLUGS.index(slug) + 1}"
        return False

    def _is_refused(self, issued: IssuedCertificate) -> bool:
        try:
            validated = validator_of(self.ca).verify(issued.certificate.public_bytes(Encoding.DER), Purpose.LOGIN)
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

    def lists(self, slug: str) -> list[bytes | None]:
        archive = self.ca.crl_archive
        return [archive.latest(slug), archive.latest_delta(slug), *(archive.latest_shard(slug, n) for n in range(2))]

    def statistics(self) -> dict[tuple[str, str, str], float]:
        """What /metrics says of lists, by authority, kind of list, and figure."""
        text = self.http.get("/metrics").text
        found = re.findall(r'citizenid_crl_(entries|number){authority="([^"]+)",kind="([^"]+)"} (\S+)', text)
        return {(slug, kind, figure): float(value) for figure, slug, kind, value in found}

    def command(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.deployment.config("ca"))])
        assert done.exit_code == 0, done.output
        return done.stdout


def subject(issued: IssuedCertificate) -> str:
    return f"certificate:{issued.certificate_id}"


def validator_of(ca: CertificationAuthority) -> CertificateValidator:
    roots = [ca.registry.by_slug("root-g1").certificate]
    return CertificateValidator(ca.database, ca.registry, ca.certificates, ca.status, ca.clock, roots=roots)


def _loaded(der: bytes | None) -> x509.CertificateRevocationList:
    assert der is not None
    return x509.load_der_x509_crl(der)


def _write(path: Path, *several: x509.Certificate | x509.CertificateRevocationList) -> None:
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in several))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("one-name")
    also = ("time-stamping",)
    deployment = Deployment(tmp_path_factory.mktemp("deployment"), issues=also)
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        deployment.own_database_url = server.create_database("one_name")
        create_tables(deployment.own_database_url)
    deployment.found(sqlite_template)
    clock, serials = MovedClock(), ChosenSerials()
    settings = load_settings(deployment.config("ca"), role=Role.ALL)
    ca = CertificationAuthority(settings, clock=clock, rng=serials)
    http = httpx2.Client(
        transport=AsgiTransport(validation_authority_app(ca)), base_url="http://pki.example.tw", trust_env=False
    )
    login = LoginHouse(ca.database, FakeClock(), SeededRng(), certificates=LoginCertificates(validator_of(ca)))
    try:
        ca.ceremonies.run(
            parse_ceremony(ceremony_toml(with_root=False, issuing=SLUGS[1:], also=also).encode()),
            held_by="operator:ceremony",
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
        yield House(deployment, ca, clock, serials, folder, http, login)
    finally:
        http.close()
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


@pytest.mark.parametrize("changed", SLUGS)
def test_lists_by_command_and_the_statistics(house: House, changed: str) -> None:
    """`ca crl`, `ca delta-crl`, `ca check-crls` and `ca list` of one; /metrics counts each by its slug."""
    serial = house.issue_twins()
    house.command("ca", "revoke", "--authority", changed, "--serial", f"{serial:x}", "--reason", "superseded")
    other = SLUGS[1 - SLUGS.index(changed)]
    before, lists = house.statistics(), house.lists(other)
    house.command("ca", "delta-crl", "--authority", changed)
    house.command("ca", "crl", "--authority", changed)
    after = house.statistics()
    assert after[changed, "complete", "entries"] == before[changed, "complete", "entries"] + 1
    assert {key: value for key, value in after.items() if key[0] != changed} == {
        key: value for key, value in before.items() if key[0] != changed
    }
    assert after[changed, "complete", "number"] > before[changed, "complete", "number"]
    assert house.lists(other) == lists
    for slug in SLUGS:
        house.command("ca", "check-crls", "--authority", slug)
    told = {row["slug"]: row for row in json.loads(house.command("ca", "list", "--json"))}
    assert {told[slug]["slug"] for slug in SLUGS} == set(SLUGS)
    assert len({json.dumps({**told[slug], "slug": ""}) for slug in SLUGS}) == len(SLUGS)  # more than the slug differs
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


def test_a_time_stamping_unit(house: House) -> None:
    """Two units of one serial: the one whose certificate is revoked stamps no more, and the other goes on."""
    serial, ca = 0x77 << 112, house.ca
    units = {slug: ca.units_of(slug) for slug in SLUGS}
    for each in units.values():
        house.serials.next = [serial]
        assert ca.ensure_timestamp_unit(each)
        assert house.serials.next == []
    stamping = {slug: ca.timestamp_authority(each) for slug, each in units.items()}
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": sha256(b"document").digest()}
    asked = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "cert_req": True}).dump()

    def refused() -> list[str]:
        house.clock.ahead += timedelta(seconds=2)
        return [slug for slug in SLUGS if stamping[slug].respond(asked).failure is not None]

    for authority in stamping.values():  # their clock's health is of the machine's clock, which is not moved
        authority._health = Healthy()
    assert refused() == []
    for number, slug in enumerate(SLUGS, start=1):
        ca.revocation.revoke(house.authority(slug).id, serial, RevocationReason.KEY_COMPROMISE, ACTOR)
        assert refused() == list(SLUGS[:number])


class Healthy:
    """A clock that nobody doubts."""

    def verify(self) -> None:
        """Accepts it."""


def test_a_caller_of_the_signers_port(house: House) -> None:
    """A citizen's certificate of the caller's very name and serial is revoked by the other authority; then its own."""
    caller = x509.load_pem_x509_certificate((house.deployment.tls / "va.pem").read_bytes())
    house.issue(caller.serial_number, "citizen-g2", number=9_000)
    for slug, status in (("citizen-g2", 200), ("citizen-g1", 403)):
        house.ca.revocation.revoke(
            house.authority(slug).id, caller.serial_number, RevocationReason.KEY_COMPROMISE, ACTOR
        )
        answer = house.deployment.raw("va", method="POST", url="/ca/v1/keys", content=b"{}")
        assert answer.status_code == status, answer.text


def test_a_request_that_names_both_is_no_request_of_either(house: House) -> None:
    """One delegate speaks for one authority: what it signed of the other's certificate would prove nothing."""
    serial = house.issue_twins()
    first, second = (asn1_ocsp.OCSPRequest.load(house.request(serial, slug, SHA1)) for slug in SLUGS)
    tbs = first["tbs_request"]
    both = [tbs["request_list"][0], second["tbs_request"]["request_list"][0]]
    asked = asn1_ocsp.OCSPRequest({"tbs_request": {"request_list": both}}).dump()
    answer = ocsp.load_der_ocsp_response(house.http.post("/pki/ocsp", content=asked).content)
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
