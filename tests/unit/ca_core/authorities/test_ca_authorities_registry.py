"""Finding authorities, by what identifies one, from a cache that is a second old at most."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from ca_core.authorities import AuthorityNotFound, AuthorityRegistry
from ca_core.kernel.database import Database
from support.fakes import FakeClock, SeededRng
from support.pki import World, ceremony, citizen_request, make_world

ALGORITHMS = [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]  # noqa: S303 - OCSP's CertID names it


@pytest.fixture
def database(sqlite_database_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return make_world(database, clock, rng, issuing=("citizen-g1", "citizen-g2"))


def test_by_slug_and_id(world: World) -> None:
    assert [authority.slug for authority in world.registry.all()] == ["root-g1", "citizen-g1", "citizen-g2"]
    for authority in world.registry.all():
        assert world.registry.by_slug(authority.slug) is world.registry.by_id(authority.id) is authority
    with pytest.raises(AuthorityNotFound):
        world.registry.by_slug("no-such")
    with pytest.raises(AuthorityNotFound):
        world.registry.by_id(10**9)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_an_ocsp_request_finds_the_right_generation_of_one_name(world: World, algorithm: hashes.HashAlgorithm) -> None:
    found = []
    for slug in ("citizen-g1", "citizen-g2"):
        authority = world.registry.by_slug(slug)
        certificate = world.issuance.issue(citizen_request(f"r-{slug}", authority=slug)).certificate
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, authority.certificate, algorithm)
        request = builder.build()
        answer = world.registry.by_key_hash(request.issuer_key_hash, request.hash_algorithm, request.issuer_name_hash)
        assert answer is authority
        assert world.registry.by_key_hash(request.issuer_key_hash, request.hash_algorithm) is authority
        assert world.registry.by_key_hash(request.issuer_key_hash, algorithm, bytes(algorithm.digest_size)) is None
        assert world.registry.by_key_hash(bytes(algorithm.digest_size), algorithm, request.issuer_name_hash) is None
        found.append(request)
    assert found[0].issuer_name_hash == found[1].issuer_name_hash
    assert found[0].issuer_key_hash != found[1].issuer_key_hash


def test_a_change_elsewhere_is_seen_within_a_second(world: World, database: Database, clock: FakeClock) -> None:
    elsewhere = AuthorityRegistry(database, clock)
    assert len(elsewhere.all()) == 3
    world.hold(ceremony(issuing=("citizen-g3",), with_root=False))
    assert len(world.registry.all()) == 4  # where it happened, at once
    assert len(elsewhere.all()) == 3
    clock.advance(1)
    assert len(elsewhere.all()) == 4


def test_within_the_second_the_database_is_not_asked(world: World, database: Database, clock: FakeClock) -> None:
    known = world.registry.all()
    database.dispose()
    monkey = world.registry
    monkey._database = None  # type: ignore[assignment]  # any use would be an AttributeError
    clock.advance(0.999)
    assert monkey.all() is known
    clock.advance(0.001)
    with pytest.raises(AttributeError):
        monkey.all()


def test_unchanged_authorities_are_not_parsed_again(world: World, clock: FakeClock) -> None:
    before = world.registry.by_slug("root-g1")
    clock.advance(10)
    assert world.registry.by_slug("root-g1") is before


def test_a_clock_that_goes_back_does_not_keep_the_cache(world: World, database: Database, clock: FakeClock) -> None:
    elsewhere = AuthorityRegistry(database, clock)
    assert len(elsewhere.all()) == 3
    world.hold(ceremony(issuing=("citizen-g3",), with_root=False))
    clock.advance(-0.5)
    assert len(elsewhere.all()) == 4


def test_signers(world: World) -> None:
    signer = world.registry.signer("citizen-g1")
    assert world.registry.signer_by_id(signer.id) == signer
    assert signer.certificate == world.registry.by_slug("citizen-g1").certificate
    with pytest.raises(AuthorityNotFound):
        world.registry.signer("no-such")
    with pytest.raises(AuthorityNotFound):
        world.registry.signer_by_id(10**9)
