"""Key rollover: link certificates between roots, and authorities that issue no more but go on signing lists."""

from collections.abc import Iterator

import pytest
from cryptography import x509

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.errors import CeremonyRefused
from ca_core.issuance import ProfileNotAllowed
from ca_core.kernel.database import Database
from ca_core.keys import key_identifier
from support.fakes import FakeClock, SeededRng
from support.pki import MemoryKeyStore, World, ceremony_toml, citizen_request

CROSSING = '"issuing-ca", "ocsp-responder", "cross-ca"'
LINKS = """
cross_certificates = [
  { subject = "root-g2", issuer = "root-g1" },
  { subject = "root-g1", issuer = "root-g2" },
]
"""


def crossing(text: str) -> str:
    return text.replace('"issuing-ca", "ocsp-responder"', CROSSING)


@pytest.fixture
def database(sqlite_database_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    made = World(database, clock, rng, key_store=MemoryKeyStore())
    made.hold(parse_ceremony(crossing(ceremony_toml()).encode()))
    return made


def test_a_new_root_is_linked_to_the_old_one_both_ways(world: World) -> None:
    record = world.hold(
        parse_ceremony((LINKS + crossing(ceremony_toml(root="root-g2", issuing=("citizen-g2",)))).encode())
    )
    one, two = world.registry.by_slug("root-g1"), world.registry.by_slug("root-g2")
    new_by_old, old_by_new = world.registry.cross_certificates()
    assert (new_by_old.subject_id, new_by_old.issuer_id) == (two.id, one.id)
    assert (old_by_new.subject_id, old_by_new.issuer_id) == (one.id, two.id)
    for cross, subject, issuer in ((new_by_old, two, one), (old_by_new, one, two)):
        certificate = cross.certificate
        certificate.verify_directly_issued_by(issuer.certificate)
        assert certificate.public_key() == subject.public_key
        assert certificate.subject.public_bytes() == subject.certificate.subject.public_bytes()
        assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest == key_identifier(
            subject.public_key
        )
        assert f"{certificate.serial_number:032x}" in record.transcript
    issued = world.issuance.issue(citizen_request(authority="citizen-g2")).certificate
    # old trust anchor -> link -> new root's key -> new issuing authority -> citizen
    issuing = world.registry.by_slug("citizen-g2").certificate
    issued.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(new_by_old.certificate)
    new_by_old.certificate.verify_directly_issued_by(one.certificate)


def test_links_alone_may_be_a_ceremony_and_are_made_once(world: World) -> None:
    world.hold(parse_ceremony(crossing(ceremony_toml(root="root-g2", issuing=())).encode()))
    head = "\n".join(ceremony_toml(with_root=False, issuing=()).splitlines())
    held = parse_ceremony((head + LINKS).encode())
    world.hold(held)
    assert len(world.registry.cross_certificates()) == 2


@pytest.mark.parametrize(
    "link",
    [
        '{ subject = "citizen-g1", issuer = "root-g1" }',
        '{ subject = "root-g1", issuer = "citizen-g1" }',
        '{ subject = "root-g9", issuer = "root-g1" }',
        '{ subject = "root-g1", issuer = "root-g1" }',
        '{ subject = "root-g2", issuer = "root-g1", profile = "root-ca" }',
        '{ subject = "root-g2", issuer = "root-g1", profile = "citizen-signature" }',
    ],
)
def test_what_is_no_link_between_roots_is_refused(world: World, link: str) -> None:
    with pytest.raises(CeremonyRefused):
        text = f"cross_certificates = [{link}]\n" + crossing(ceremony_toml(root="root-g2", issuing=()))
        world.hold(parse_ceremony(text.encode()))
    assert world.registry.cross_certificates() == ()
    assert [authority.slug for authority in world.registry.all()] == ["root-g1", "citizen-g1"]


def test_a_root_that_may_not_cross_certify_does_not(world: World) -> None:
    world.hold(parse_ceremony(ceremony_toml(root="root-g2", issuing=()).encode()))
    with pytest.raises(CeremonyRefused, match="does not issue cross-ca"):
        text = ceremony_toml(with_root=False, issuing=()) + LINKS
        world.hold(parse_ceremony(text.encode()))


def test_an_authority_that_was_retired_issues_no_more_and_keeps_its_key(world: World) -> None:
    text = 'retires = ["citizen-g1"]\n' + ceremony_toml(issuing=("citizen-g2",), with_root=False)
    world.issuance.issue(citizen_request("before"))
    record = world.hold(parse_ceremony(text.encode()))
    assert "citizen-g1 issues nothing more" in record.transcript
    with pytest.raises(ProfileNotAllowed):
        world.issuance.issue(citizen_request("after"))
    old = world.registry.by_slug("citizen-g1")
    assert old.profiles == {"ocsp-responder"}
    assert world.key_store.private_key(old.key_label).public_key() == old.public_key
    assert world.issuance.issue(citizen_request("next", authority="citizen-g2"))
    assert old.certificate.subject == world.registry.by_slug("citizen-g2").certificate.subject


def test_a_root_or_nobody_is_not_retired(world: World) -> None:
    for slug in ("root-g1", "nobody"):
        with pytest.raises(CeremonyRefused):
            world.hold(parse_ceremony(f'retires = ["{slug}"]\n{ceremony_toml(with_root=False, issuing=())}'.encode()))
