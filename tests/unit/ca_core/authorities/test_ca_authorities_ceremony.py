"""Ceremonies: reviewed, held once, and refused with nothing written."""

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import func, select

from ca_core.audit.store import events
from ca_core.authorities import AuthorityExists, AuthorityRole, CeremonyAlreadyHeld, CeremonyRefused
from ca_core.authorities.ceremony import CeremonyService
from ca_core.authorities.ceremony_file import Ceremony, parse_ceremony
from ca_core.authorities.store import authorities, ceremonies
from ca_core.issuance.authority_issuer import AuthorityIssuer
from ca_core.issuance.store import CertificateStore, certificates, intents
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.errors import DomainError
from ca_core.keys import KeyAlgorithm, PrivateKey
from support.fakes import FakeClock, SeededRng
from support.pki import ISSUING_SUBJECT, MemoryKeyStore, World, ceremony, ceremony_toml, citizen_request, new_key

COUNTS = [
    Statement(select(func.count()).select_from(t)) for t in (ceremonies, authorities, intents, certificates, events)
]


@pytest.fixture
def database(sqlite_database_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def keys() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng, keys: MemoryKeyStore) -> World:
    return World(database, clock, rng, key_store=keys)


def service(world: World) -> CeremonyService:
    return CeremonyService(
        database=world.database,
        registry=world.registry,
        key_store=world.key_store,
        issuer=AuthorityIssuer(world.issuance),
        audit=world.audit,
        clock=world.clock,
    )


def counts(database: Database) -> list[int]:
    with database.read() as tx:
        return [tx.all(statement)[0][0] for statement in COUNTS]


def refuses(world: World, keys: MemoryKeyStore, held: Ceremony, error: type[DomainError]) -> DomainError:
    before, labels = counts(world.database), set(keys.keys)
    with pytest.raises(error) as refused:
        world.hold(held)
    assert type(refused.value) is error
    assert counts(world.database) == before
    assert set(keys.keys) == labels
    return refused.value


def test_a_review_shows_everything_and_writes_nothing(world: World, keys: MemoryKeyStore) -> None:
    held = ceremony()
    text = service(world).review(held)
    for shown in (
        held.digest,
        "Witness (auditor)",
        "Authority root-g1",
        "Authority citizen-g1",
        "Subject: C=TW, O=行政院, OU=內政部憑證管理中心",
        "Issuer: C=TW, O=行政院, CN=Test Root - G1 (root-g1)",
        "Key: p384, label root-g1",
        "Extension (critical): keyUsage digital_signature, key_cert_sign, crl_sign",
        "Extension (critical): basicConstraints CA, path length 0",
        "cRLDistributionPoints http://pki.example.tw/pki/crl/root-g1.crl",
        "authorityInfoAccess caIssuers http://pki.example.tw/pki/ca/root-g1.cer, OCSP http://pki.example.tw/pki/ocsp",
        "certificatePolicies 2.16.886.101.0.3.3",
        "May issue: citizen-authentication",
    ):
        assert shown in text
    assert counts(world.database) == [0, 0, 0, 0, 0]
    assert keys.keys == {}


def test_it_makes_what_the_file_says(world: World, database: Database) -> None:
    held = ceremony()
    record = world.hold(held)
    root, issuing = world.registry.all()
    assert (root.slug, root.role, root.parent_id) == ("root-g1", AuthorityRole.ROOT, None)
    assert (issuing.slug, issuing.role, issuing.parent_id) == ("citizen-g1", AuthorityRole.ISSUING, root.id)
    root.certificate.verify_directly_issued_by(root.certificate)
    issuing.certificate.verify_directly_issued_by(root.certificate)
    assert [attribute.value for attribute in issuing.certificate.subject] == [value for _, value in ISSUING_SUBJECT]
    assert issuing.profiles >= {"citizen-authentication", "ocsp-responder"}
    store = CertificateStore()
    with database.read() as tx:
        for authority, issuer in ((root, root), (issuing, root)):
            recorded = store.by_id(tx, authority.certificate_id)
            assert recorded is not None
            assert (recorded.authority_id, recorded.certificate) == (issuer.id, authority.certificate)
        names = [event.name for event in world.audit.recent(tx)]
    assert sorted(names) == sorted(
        ["ceremony.begun", "ceremony.completed", *["authority.created", "issuance.intended", "certificate.issued"] * 2]
    )
    assert (record.digest, record.held_by, record.authorities) == (
        held.digest,
        "operator:ceremony",
        ("root-g1", "citizen-g1"),
    )


def test_the_transcript_names_file_people_times_and_fingerprints(world: World, clock: FakeClock) -> None:
    held = ceremony()
    transcript = world.hold(held).transcript
    for authority in world.registry.all():
        assert authority.certificate.fingerprint(hashes.SHA256()).hex() in transcript
        assert authority.certificate.public_bytes(Encoding.PEM).decode().strip() in transcript
    for shown in (held.digest, "operator:ceremony", "Witness", "2026-03-02T09:02:03+08:00"):
        assert shown in transcript
    assert "PRIVATE" not in transcript


def test_the_same_file_again_is_refused(world: World, keys: MemoryKeyStore) -> None:
    world.hold(ceremony())
    refuses(world, keys, ceremony(), CeremonyAlreadyHeld)


def test_a_taken_slug_is_refused(world: World, keys: MemoryKeyStore) -> None:
    world.hold(ceremony())
    keys.keys.clear()  # even if the keys are gone
    refuses(world, keys, ceremony(issuing=("citizen-g2",)), AuthorityExists)


def test_a_taken_key_label_is_refused(world: World, keys: MemoryKeyStore) -> None:
    keys.generate("citizen-g1", KeyAlgorithm.P_256)
    refuses(world, keys, ceremony(), AuthorityExists)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("http://pki.example.tw/pki", "http://elsewhere.example/pki"),
        ('profile = "issuing-ca"', 'profile = "no-such"'),
        ('profile = "issuing-ca"', 'profile = "root-ca"'),
        ('profile = "root-ca"', 'profile = "issuing-ca"'),
        ('profile = "issuing-ca"', 'profile = "citizen-authentication"'),
        ('issues = ["issuing-ca", "ocsp-responder"]', 'issues = ["ocsp-responder"]'),
        ('issues = ["issuing-ca", "ocsp-responder"]', 'issues = ["issuing-ca", "no-such"]'),
        ('issuer = "root-g1"', 'issuer = "root-g9"'),
        ('key_algorithm = "p384"', 'key_algorithm = "p256"'),  # not for a root
        (
            '{ type = "OU", value = "內政部憑證管理中心" }',
            '{ type = "OU", value = "' + "x" * 65 + '" }',
        ),  # by the linter
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(
    world: World, keys: MemoryKeyStore, old: str, new: str
) -> None:
    text = ceremony_toml()
    assert old in text
    held = parse_ceremony(text.replace(old, new).encode())
    refuses(world, keys, held, CeremonyRefused)
    with pytest.raises(CeremonyRefused):
        service(world).review(held)


def test_a_second_generation_has_the_same_name_and_its_own_key(world: World) -> None:
    world.hold(ceremony(issuing=("citizen-g1",)))
    world.hold(ceremony(issuing=("citizen-g2",), with_root=False))
    world.hold(ceremony(root="root-g2", issuing=("citizen-g3",)))
    one, two, three = (world.registry.by_slug(f"citizen-g{generation}") for generation in (1, 2, 3))
    assert (
        one.certificate.subject.public_bytes()
        == two.certificate.subject.public_bytes()
        == three.certificate.subject.public_bytes()
    )
    assert len({one.key_identifier, two.key_identifier, three.key_identifier}) == 3
    assert one.parent_id == two.parent_id != three.parent_id
    two.certificate.verify_directly_issued_by(world.registry.by_slug("root-g1").certificate)
    three.certificate.verify_directly_issued_by(world.registry.by_slug("root-g2").certificate)
    issued = [
        world.issuance.issue(citizen_request(f"r{a.id}", authority=a.slug)).certificate for a in (one, two, three)
    ]
    for certificate, authority in zip(issued, (one, two, three), strict=True):
        certificate.verify_directly_issued_by(authority.certificate)
        aki = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert aki.key_identifier == authority.key_identifier


def test_a_recorded_key_that_was_exchanged_meanwhile_is_found_out(
    world: World, keys: MemoryKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(AuthorityIssuer, "issue", die)
        with pytest.raises(Died):
            world.hold(ceremony())
    right = keys.keys["root-g1"]
    keys.keys["root-g1"] = new_key(KeyAlgorithm.P_384)
    with pytest.raises(CeremonyRefused):
        world.hold(ceremony())
    assert world.registry.all() == ()
    keys.keys["root-g1"] = right
    assert world.hold(ceremony()).authorities == ("root-g1", "citizen-g1")


class Died(Exception):
    """Stands for the end of the process."""


class DyingKeyStore(MemoryKeyStore):
    """Dies before or after it makes its `at`-th key, once."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.at, self.after, self.calls = at, after, 0

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise Died
        key = super().generate(label, algorithm)
        if self.calls == self.at:
            raise Died
        return key


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_ceremony_that_broke_off_around_a_key_goes_on_with_what_was_made(
    database: Database, clock: FakeClock, rng: SeededRng, at: int, after: bool
) -> None:
    keys = DyingKeyStore(at, after=after)
    world = World(database, clock, rng, key_store=keys)
    with pytest.raises(Died):
        world.hold(ceremony())
    made = dict(keys.keys)
    with pytest.raises(AuthorityExists):
        world.hold(ceremony(issuing=("citizen-g1", "citizen-g2")))  # another file does not take over
    world.hold(ceremony())
    assert {label: keys.keys[label] for label in made} == made
    assert [authority.slug for authority in world.registry.all()] == ["root-g1", "citizen-g1"]
    refuses(world, keys, ceremony(), CeremonyAlreadyHeld)
