"""The authorities of a house that moves in: found by their keys, under slugs and signatures that can stand."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import text

from ca_core.kernel.database import Database, Statement
from ca_core.migration.errors import AuthorityRefused
from support.fakes import FakeClock, SeededRng
from support.moving_in import ACTOR, moving_in
from support.old_house import OldHouse


@pytest.fixture(scope="module")
def house() -> OldHouse:
    return OldHouse()


def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    with database.read() as tx:
        return tx.all(Statement(text(sql)))


def test_authorities_are_found_by_key_and_need_their_issuer(
    database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse
) -> None:
    service = moving_in(database, clock, rng)
    der = {slug: certificate.public_bytes(Encoding.DER) for slug, certificate in house.authorities.items()}
    with pytest.raises(AuthorityRefused):
        service.authorities.add(der["g1"], slug="old-g1", actor=ACTOR)
    root = service.authorities.add(der["root"], slug="old-root", actor=ACTOR)
    first = service.authorities.add(der["g1"], slug="old-g1", actor=ACTOR)
    second = service.authorities.add(der["g2"], slug="old-g2", actor=ACTOR)
    assert service.authorities.add(der["g1"], slug="old-g1", actor=ACTOR) == first
    assert (first.parent_id, second.parent_id, first.profiles) == (root.id, root.id, frozenset())
    assert first.certificate.subject == second.certificate.subject
    with pytest.raises(AuthorityRefused):
        service.authorities.add(der["g1"], slug="again", actor=ACTOR)
    citizen = house.certificate(1).public_bytes(Encoding.DER)
    with pytest.raises(AuthorityRefused):
        service.authorities.add(citizen, slug="citizen", actor=ACTOR)
    assert rows(database, "SELECT count(*) FROM ca_authorities") == [(3,)]


def test_no_authority_has_the_address_of_anothers_deltas(
    database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse
) -> None:
    authorities = moving_in(database, clock, rng).authorities
    with pytest.raises(AuthorityRefused):
        authorities.add(house.authorities["root"].public_bytes(Encoding.PEM), slug="g1-delta", actor=ACTOR)
    assert rows(database, "SELECT slug FROM ca_authorities") == []


@pytest.mark.parametrize("slug", ["root", "g1"])
def test_an_authority_signed_by_an_algorithm_that_nobody_knows_is_refused(
    database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse, slug: str
) -> None:
    service = moving_in(database, clock, rng)
    if slug != "root":
        service.authorities.add(house.authorities["root"].public_bytes(Encoding.DER), slug="old-root", actor=ACTOR)
    octets = house.authorities[slug].public_bytes(Encoding.DER)
    ecdsa_with_sha256 = bytes.fromhex("06082a8648ce3d040302")
    assert octets.count(ecdsa_with_sha256) == 2
    strange = octets.replace(ecdsa_with_sha256, ecdsa_with_sha256[:-1] + b"\x63")
    with pytest.raises(AuthorityRefused, match="no authority that is here issued it"):
        service.authorities.add(strange, slug="strange", actor=ACTOR)
