"""Card logins with certificates that the real authority issued and the real validation judges."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.issuance.model import IssuedCertificate
from ca_core.issuance.store import CertificateStore
from ca_core.kernel.database import Database, sqlite_url
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import StatusService
from ca_core.validation import (
    CertificateExpired,
    CertificateMalformed,
    CertificateRefused,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUnknownIssuer,
    CertificateValidator,
    CertificateWrongProfile,
)
from idp.main.adapters import LoginCertificates
from support.card_login import Card, LoginHouse, Rows
from support.fakes import FakeClock, SeededRng
from support.pki import World, citizen_request, make_world

SPENT = Rows(sessions=0, evidence=0, redeemed=1)
ACTOR = "operator:7"


@dataclass
class Country:
    world: World
    house: LoginHouse
    revocations: RevocationService

    def issue(self, **options: object) -> tuple[Card, IssuedCertificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self.world.issuance.issue(citizen_request(key=key, **options))  # type: ignore[arg-type]  # passed on
        return Card(key, issued.certificate.public_bytes(Encoding.DER)), issued

    def refusal(self, card: Card) -> type[CertificateRefused]:
        """Why the card's login is refused; that only the challenge was spent and one event written is checked."""
        before = len(self.house.events())
        nonce = self.house.challenge().challenge_nonce
        with pytest.raises(CertificateRefused) as caught:
            self.house.service.authenticate(self.house.entry(), card.token(nonce))
        assert self.house.rows() == SPENT
        new = self.house.events()[before:]
        assert new == [("card_login.refused", "refused", {"code": caught.value.code, "client_id": "tax"})]
        return type(caught.value)


@pytest.fixture
def country(database: Database, clock: FakeClock, rng: SeededRng) -> Country:
    return country_of(database, clock, rng)


def country_of(database: Database, clock: FakeClock, rng: SeededRng) -> Country:
    world = make_world(database, clock, rng)
    certificates = CertificateStore()
    validator = CertificateValidator(
        database,
        world.registry,
        certificates,
        StatusService(StatusLog()),
        clock,
        roots=[world.registry.by_slug("root-g1").certificate],
    )
    house = LoginHouse(database, clock, rng, certificates=LoginCertificates(validator))
    house.interactions.begin()
    return Country(world, house, RevocationService(database, certificates, world.audit, clock))


def test_an_issued_card_logs_in(country: Country) -> None:
    card, issued = country.issue()
    login = country.house.service.authenticate(
        country.house.entry(), card.token(country.house.challenge().challenge_nonce)
    )
    assert (login.session.person_id, login.session.certificate_id) == ("person-1", issued.certificate_id)
    assert (login.session.status_source, login.session.status_age_s) == ("database", 0)
    assert country.house.rows() == Rows(sessions=1, evidence=1, redeemed=1)


def test_a_revoked_certificate(country: Country) -> None:
    card, issued = country.issue()
    country.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert country.refusal(card) is CertificateRevoked


def test_a_suspended_certificate_and_after_it_is_resumed(country: Country) -> None:
    card, issued = country.issue()
    country.revocations.suspend(issued.authority_id, issued.serial, ACTOR)
    assert country.refusal(card) is CertificateSuspended
    country.revocations.resume(issued.authority_id, issued.serial, ACTOR)
    token = card.token(country.house.challenge().challenge_nonce)
    country.house.service.authenticate(country.house.entry(), token)
    assert country.house.rows().sessions == 1


def test_an_expired_certificate(country: Country, clock: FakeClock) -> None:
    card, issued = country.issue()
    clock.set(issued.certificate.not_valid_after_utc + timedelta(seconds=1))
    country.house.interactions.begin()
    assert country.refusal(card) is CertificateExpired


@pytest.mark.parametrize("profile", ["citizen-signature", "citizen-encryption"])
def test_the_cards_other_keys(country: Country, profile: str) -> None:
    card, _ = country.issue(profile=profile)
    assert country.refusal(card) is CertificateWrongProfile


def test_another_authority_with_the_very_same_names(
    country: Country, sqlite_template: Path, tmp_path: Path, clock: FakeClock
) -> None:
    elsewhere = Database.open(sqlite_url(Path(shutil.copy(sqlite_template, tmp_path / "elsewhere.db"))))
    try:
        card, issued = country_of(elsewhere, clock, SeededRng(1)).issue()
    finally:
        elsewhere.dispose()
    ours = country.issue(request_id="request-2")[1]
    assert issued.certificate.issuer == ours.certificate.issuer
    assert country.refusal(card) is CertificateUnknownIssuer


@pytest.mark.parametrize(
    "spoil",
    [lambda der: der[:-1], lambda der: der + b"\x00", lambda der: b"\x30\x03\x02\x01\x00", lambda der: b"x" * 6_000],
)
def test_what_is_no_certificate(country: Country, spoil: Callable[[bytes], bytes]) -> None:
    card, _ = country.issue()
    assert country.refusal(Card(card.key, spoil(card.certificate))) is CertificateMalformed


def test_a_certificate_with_one_bit_changed(country: Country) -> None:
    card, _ = country.issue()
    changed = bytearray(card.certificate)
    changed[-1] ^= 1
    assert country.refusal(Card(card.key, bytes(changed))) in (CertificateUnknownIssuer, CertificateMalformed)
