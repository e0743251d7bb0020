"""OCSP for an authority that moved in: with its key here, or with a certificate that its house makes of a request."""

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_core.audit import AuditLog
from ca_core.authorities import AuthorityRegistry
from ca_core.authorities.errors import AuthorityNotImported
from ca_core.issuance import CertificateStore
from ca_core.issuance.handed_over import MAX_CERTIFICATE_BYTES
from ca_core.issuance.past import PastCertificates
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.keys import KeyNotFound, KeyStore, PrivateKey
from ca_core.migration.errors import AuthorityRefused
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import OcspResponder, Responders, StatusService
from ca_core.status.errors import ResponderRefused
from ca_core.status.outside_responders import OutsideResponders
from support.audit_refusal import contents
from support.fakes import START, FakeClock, SeededRng
from support.moving_in import ACTOR, moving_in
from support.ocsp_requests import SHA1
from support.old_house import OldHouse, write_holders, write_pem
from support.pki import MemoryKeyStore, World, ceremony, new_key
from support.small_pki import CITIZEN_CA_NAME

OCSP_SIGNING = [ExtendedKeyUsageOID.OCSP_SIGNING]
GONE = START - timedelta(days=30)


@dataclass
class MovedIn:
    """Citizens 1 and 2 of the old house's g1 are in, 2 revoked; 3 is not. keys: of the role that answers OCSP."""

    database: Database
    clock: FakeClock
    rng: Rng
    folder: Path
    house: OldHouse = field(default_factory=OldHouse)
    keys: MemoryKeyStore = field(default_factory=MemoryKeyStore)

    def __post_init__(self) -> None:
        self.service = moving_in(self.database, self.clock, self.rng)
        for slug in ("root", "g1", "g2"):
            octets = self.house.authorities[slug].public_bytes(Encoding.DER)
            self.service.authorities.add(octets, slug=f"old-{slug}", actor=ACTOR)
        self.service.import_holders(write_holders(self.folder / "holders.csv", range(1, 3)), actor=ACTOR)
        self.cards = {number: self.house.certificate(number) for number in (1, 2, 3)}
        self.service.import_certificates(
            write_pem(self.folder / "g1.pem", [self.cards[1], self.cards[2]]), "old-g1", actor=ACTOR
        )
        listed = self.house.crl({2: (GONE, x509.ReasonFlags.key_compromise)})
        (self.folder / "g1.crl").write_bytes(listed.public_bytes(Encoding.DER))
        self.service.import_crl(self.folder / "g1.crl", "old-g1", actor=ACTOR)
        self.registry = AuthorityRegistry(self.database, self.clock)
        self.audit = AuditLog(self.clock, self.rng)
        self.log = StatusLog()
        self.status = StatusService(self.log)
        self.responders = Responders(self.database, self.registry, self.keys, self.status, self.clock)
        self.ocsp = OcspResponder(
            self.database, self.registry, CertificateStore(), self.status, self.log, self.responders, self.clock
        )
        self.outside = self.outside_with(self.keys)

    def outside_with(self, keys: KeyStore) -> OutsideResponders:
        past = PastCertificates()
        return OutsideResponders(self.database, self.registry, keys, past, self.audit, self.clock, self.rng)

    def requested(self) -> x509.CertificateSigningRequest:
        request = x509.load_pem_x509_csr(self.outside.request("old-g1"))
        assert request.is_signature_valid
        return request

    def certificate(
        self,
        public_key: object,
        *,
        by: str = "g1",
        serial: int = 0x5001,
        purposes: list[x509.ObjectIdentifier] = OCSP_SIGNING,
        days: tuple[int, int] = (-1, 30),
        more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> x509.Certificate:
        """What the old house makes of a request."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OCSP")]))
            .issuer_name(CITIZEN_CA_NAME)
            .public_key(public_key)  # type: ignore[arg-type]  # a request's
            .serial_number(serial)
            .not_valid_before(self.clock() + timedelta(days=days[0]))
            .not_valid_after(self.clock() + timedelta(days=days[1]))
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.house.keys[by], hashes.SHA256())

    def asked(self, number: int) -> tuple[bytes, bytes]:
        """An OCSP request about that citizen's card, and the answer."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.cards[number], self.house.authorities["g1"], SHA1)
        request = builder.build().public_bytes(Encoding.DER)
        return request, self.ocsp.respond(request).der

    def answer(self, number: int) -> ocsp.OCSPResponse:
        return ocsp.load_der_ocsp_response(self.asked(number)[1])

    def statuses(self) -> list[ocsp.OCSPCertStatus]:
        return [self.answer(number).certificate_status for number in (1, 2, 3)]

    def events(self) -> list[str]:
        with self.database.read() as tx:
            return [event.name for event in self.audit.recent(tx, limit=100)]


RIGHT = [ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN]


@pytest.fixture
def moved(database: Database, clock: FakeClock, rng: SeededRng, tmp_path: Path) -> MovedIn:
    return MovedIn(database, clock, rng, tmp_path)


def test_the_old_house_certifies_a_key_of_ours_and_openssl_agrees(moved: MovedIn, tmp_path: Path) -> None:
    assert moved.answer(1).response_status is ocsp.OCSPResponseStatus.TRY_LATER
    certificate = moved.certificate(moved.requested().public_key())
    taken = moved.outside.accept(certificate.public_bytes(Encoding.PEM), "old-g1", actor=ACTOR)
    moved.clock.advance(2)
    assert taken == certificate
    assert moved.statuses() == RIGHT
    assert moved.answer(1).certificates == [certificate]
    revoked = moved.answer(2)
    assert (revoked.revocation_time_utc, revoked.revocation_reason) == (GONE, x509.ReasonFlags.key_compromise)
    assert moved.events().count("ocsp.responder_accepted") == 1
    openssl = shutil.which("openssl")
    assert openssl
    for name, one in (("root", moved.house.authorities["root"]), ("g1", moved.house.authorities["g1"])):
        (tmp_path / f"{name}.pem").write_bytes(one.public_bytes(Encoding.PEM))
    (tmp_path / "card.pem").write_bytes(moved.cards[2].public_bytes(Encoding.PEM))
    (tmp_path / "answer.der").write_bytes(moved.asked(2)[1])
    command = [
        openssl,
        "ocsp",
        "-issuer",
        "g1.pem",
        "-cert",
        "card.pem",
        "-respin",
        "answer.der",
        "-CAfile",
        "root.pem",
    ]
    command += ["-verify_other", "g1.pem", "-no_nonce", "-validity_period", str(10**9)]
    command += ["-attime", str(int(moved.clock().timestamp()))]
    judged = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert judged.returncode == 0, judged.stderr
    assert "Response verify OK" in judged.stderr
    assert "card.pem: revoked" in judged.stdout


def test_a_request_is_the_same_until_its_certificate_came_in(moved: MovedIn) -> None:
    first, again = moved.requested().public_key(), moved.requested().public_key()
    assert first == again
    certificate = moved.certificate(first).public_bytes(Encoding.DER)
    moved.outside.accept(certificate, "old-g1", actor=ACTOR)
    moved.outside.accept(certificate, "old-g1", actor=ACTOR)
    assert moved.events().count("ocsp.responder_accepted") == 1
    second = moved.requested().public_key()
    assert second != first
    renewed = moved.certificate(second, serial=0x5002)
    moved.outside.accept(renewed.public_bytes(Encoding.DER), "old-g1", actor=ACTOR)
    moved.clock.advance(2)
    assert moved.answer(1).certificates == [renewed]


def test_eight_who_bring_the_same_certificate_leave_one(moved: MovedIn) -> None:
    octets = moved.certificate(moved.requested().public_key()).public_bytes(Encoding.DER)
    together = Barrier(8)

    def bring(_number: int) -> x509.Certificate:
        together.wait(10)
        return moved.outside.accept(octets, "old-g1", actor=ACTOR)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(bring, range(8)))) == 1
    assert moved.events().count("ocsp.responder_accepted") == 1
    assert len(contents(moved.database)["ocsp_responders"]) == 1


def test_it_ends_when_it_is_revoked_and_is_missed_before_it_ends(moved: MovedIn) -> None:
    moved.outside.accept(
        moved.certificate(moved.requested().public_key(), days=(-1, 39)).public_bytes(Encoding.DER),
        "old-g1",
        actor=ACTOR,
    )
    assert moved.responders.ending() == {}
    moved.clock.advance(timedelta(days=30).total_seconds())
    assert moved.responders.ending() == {"old-g1": START + timedelta(days=39)}
    assert moved.responders.ensure(World(moved.database, moved.clock, moved.rng).issuance, moved.rng) == []
    revocation = RevocationService(moved.database, CertificateStore(), moved.audit, moved.clock)
    authority = moved.registry.by_slug("old-g1")
    revocation.revoke(authority.id, 0x5001, RevocationReason.KEY_COMPROMISE, ACTOR)
    moved.clock.advance(2)
    assert moved.answer(3).response_status is ocsp.OCSPResponseStatus.TRY_LATER


CA = ((x509.BasicConstraints(True, None), True),)
ENCRYPTION = ((x509.KeyUsage(False, False, True, False, False, False, False, False, False), True),)
CRITICAL = ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)
BOTH = [*OCSP_SIGNING, ExtendedKeyUsageOID.CLIENT_AUTH]
Made = Callable[[MovedIn, object], x509.Certificate]
REFUSED: dict[str, tuple[Made, str]] = {
    "its-sister-of-the-same-name": (lambda moved, key: moved.certificate(key, by="g2"), "did not issue it"),
    "another-key": (lambda moved, _key: moved.certificate(new_key().public_key()), "no key here waits"),
    "no-purpose": (lambda moved, key: moved.certificate(key, purposes=[]), "extended key usage"),
    "two-purposes": (lambda moved, key: moved.certificate(key, purposes=BOTH), "extended key usage"),
    "a-ca": (lambda moved, key: moved.certificate(key, more=CA), "a CA's"),
    "key-usage": (lambda moved, key: moved.certificate(key, more=ENCRYPTION), "digitalSignature"),
    "critical": (lambda moved, key: moved.certificate(key, more=CRITICAL), "not known"),
    "ended": (lambda moved, key: moved.certificate(key, days=(-30, -1)), "not valid now"),
    "begins-later": (lambda moved, key: moved.certificate(key, days=(1, 30)), "not valid now"),
    "a-citizens-serial": (lambda moved, key: moved.certificate(key, serial=1), "another certificate's"),
}


@pytest.mark.parametrize("made", REFUSED.values(), ids=REFUSED.keys())
def test_a_certificate_that_is_not_right_is_refused_with_its_reason(moved: MovedIn, made: tuple[Made, str]) -> None:
    certificate, reason = made
    octets = certificate(moved, moved.requested().public_key()).public_bytes(Encoding.DER)
    before = contents(moved.database)
    with pytest.raises(ResponderRefused, match=reason):
        moved.outside.accept(octets, "old-g1", actor=ACTOR)
    assert contents(moved.database) == before
    assert moved.answer(1).response_status is ocsp.OCSPResponseStatus.TRY_LATER


@pytest.mark.parametrize(
    "octets", [b"", b"\x30\x80", b"-----BEGIN CERTIFICATE-----", b"\x30" * MAX_CERTIFICATE_BYTES * 2]
)
def test_what_is_no_certificate_is_refused(moved: MovedIn, octets: bytes) -> None:
    moved.outside.request("old-g1")
    with pytest.raises(ResponderRefused):
        moved.outside.accept(octets, "old-g1", actor=ACTOR)


def test_a_key_of_another_node_is_not_taken_for_ours(moved: MovedIn) -> None:
    theirs = x509.load_pem_x509_csr(moved.outside_with(MemoryKeyStore()).request("old-g1"))
    assert moved.requested().public_key() != theirs.public_key()
    octets = moved.certificate(theirs.public_key()).public_bytes(Encoding.DER)
    with pytest.raises(ResponderRefused, match="no key here waits"):
        moved.outside.accept(octets, "old-g1", actor=ACTOR)


def test_with_its_key_here_it_certifies_its_responder_here(moved: MovedIn) -> None:
    world = World(moved.database, moved.clock, moved.rng, key_store=moved.keys)
    assert moved.responders.ensure(world.issuance, moved.rng) == []
    moved.keys.keys["old-g1"] = moved.house.keys["g1"]
    assert moved.service.authorities.permit_responders("old-g1", moved.keys, actor=ACTOR)
    assert not moved.service.authorities.permit_responders("old-g1", moved.keys, actor=ACTOR)
    moved.clock.advance(2)
    assert moved.responders.ensure(world.issuance, moved.rng) == ["old-g1"]
    assert moved.statuses() == RIGHT
    assert moved.events().count("authority.responders_permitted") == 1
    with pytest.raises(ResponderRefused, match="certifies its responders here"):
        moved.outside.request("old-g1")


def test_only_an_imported_authority_whose_key_is_here_is_permitted(moved: MovedIn) -> None:
    world = World(moved.database, moved.clock, moved.rng, key_store=moved.keys)
    world.hold(ceremony())
    moved.clock.advance(2)
    before = contents(moved.database)
    wrong: list[tuple[str, PrivateKey | None, type[Exception]]] = [
        ("old-g1", None, KeyNotFound),
        ("old-g1", moved.house.keys["g2"], AuthorityRefused),
        ("citizen-g1", moved.keys.keys["citizen-g1"], AuthorityNotImported),
    ]
    for slug, key, error in wrong:
        if key is not None:
            moved.keys.keys[slug] = key
        with pytest.raises(error):
            moved.service.authorities.permit_responders(slug, moved.keys, actor=ACTOR)
    assert contents(moved.database) == before
