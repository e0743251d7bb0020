"""Card logins on both databases: accepted, forged, replayed, raced. What a refusal writes is counted each time."""

import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ca_core.kernel.database import Database
from ca_core.kernel.errors import DomainError
from ca_core.statement import StatementStore, challenge_nonce_of, digest_of
from ca_core.validation.errors import (
    CertificateExpired,
    CertificateRefused,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUnknownIssuer,
)
from idp.authn.card.errors import (
    ChallengeAlreadyUsed,
    ChallengeExpired,
    ChallengeMissing,
    ChallengeSuperseded,
    PersonUnknown,
    ReportRefused,
    StatementNotFound,
    TokenAlgorithmMismatch,
    TokenBindingMismatch,
    TokenMalformed,
)
from idp.authn.card.model import REPORTED_CODES
from idp.authn.card.web_eid import parse_token, verify_signature
from idp.authn.entry import Entry
from idp.authorize.errors import InteractionExpired, InteractionMovedOn, WrongBrowser
from idp.authorize.model import ConsentNeeded, Redirect
from support.card_login import (
    BROWSER,
    ORIGIN,
    Card,
    LoginHouse,
    Rows,
    rsa_key,
    sign,
)
from support.fakes import FakeClock, SeededRng

NOTHING = Rows(sessions=0, evidence=0, redeemed=0)
SPENT = Rows(sessions=0, evidence=0, redeemed=1)
DONE = Rows(sessions=1, evidence=1, redeemed=1)
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def house(database: Database, clock: FakeClock, rng: SeededRng) -> LoginHouse:
    made = LoginHouse(database, clock, rng)
    made.interactions.begin()
    return made


@pytest.fixture
def card(house: LoginHouse) -> Card:
    return house.ca.card()


def assert_refused(
    house: LoginHouse,
    token: dict[str, object],
    error: type[DomainError],
    rows: Rows,
    interaction_id: str = "interaction-1",
) -> None:
    """The token is refused with that error; the audit log says so once; nothing else is written."""
    before = len(house.events())
    with pytest.raises(error) as caught:
        house.service.authenticate(house.entry(interaction_id), token)
    assert house.rows() == rows
    events = house.events()[before:]
    assert events == [("card_login.refused", "refused", {"code": caught.value.code, "client_id": "tax"})]


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256", "PS256"])
def test_a_good_token_starts_a_session_and_is_kept_as_evidence(house: LoginHouse, algorithm: str) -> None:
    keys = {"ES256": None, "ES384": OTHER_CURVE}
    card = house.ca.card(keys.get(algorithm, rsa_key()) if algorithm != "ES256" else None)
    signed = house.challenge()
    token = card.token(signed.challenge_nonce, algorithm=algorithm)

    login = house.service.authenticate(house.entry(), token, request_id="request-1")

    assert login.next == ConsentNeeded("/interaction/interaction-1/consent")
    assert (login.session.person_id, login.session.acr) == ("person-1", "urn:citizenid:loa:high")
    assert (login.session.amr, login.session.auth_time) == (("sc", "pin"), house.clock())
    assert login.session.statement_digest == signed.digest
    assert house.sessions.find(login.session_token) == login.session
    assert house.rows() == DONE
    assert house.events() == [("card_login.accepted", "ok", {"client_id": "tax", "algorithm": algorithm})]
    with house.database.read() as tx:
        kept = StatementStore().evidence(tx, signed.digest)
    assert kept is not None
    assert (kept.compact, kept.algorithm, kept.person_id) == (signed.compact, algorithm, "person-1")


def test_the_kept_evidence_verifies_again_later(house: LoginHouse, card: Card) -> None:

    signed = house.challenge()
    token = card.token(signed.challenge_nonce)
    house.service.authenticate(house.entry(), token)
    with house.database.read() as tx:
        kept = StatementStore().evidence(tx, signed.digest)
    assert kept is not None
    parsed = parse_token(token)
    assert kept.signature == parsed.signature
    verify_signature(parsed, card.key.public_key(), origin=ORIGIN, challenge_nonce=signed.challenge_nonce)


def test_where_consent_was_given_before_the_browser_goes_straight_back(house: LoginHouse, card: Card) -> None:
    house.interactions.needs_consent = False
    login = house.service.authenticate(house.entry(), card.token(house.challenge().challenge_nonce))
    assert isinstance(login.next, Redirect)


def test_the_browsers_earlier_session_ends(house: LoginHouse, card: Card) -> None:
    first = house.service.authenticate(house.entry(), card.token(house.challenge().challenge_nonce))
    house.interactions.begin("interaction-2")
    token = card.token(house.challenge("interaction-2").challenge_nonce)
    second = house.service.authenticate(house.entry("interaction-2"), token, replaces=first.session_token)
    assert house.sessions.find(first.session_token) is None
    assert house.sessions.find(second.session_token) is not None
    assert second.session_token != first.session_token


def test_statement_says_who_asks_and_what_for(house: LoginHouse) -> None:
    statement = house.challenge().statement
    assert (statement.iss, statement.origin, statement.client_id) == (ORIGIN, ORIGIN, "tax")
    assert statement.client_name.en == "Ministry of Finance: Income Tax Filing"
    assert statement.purpose.zh_tw.startswith("登入綜合所得稅")
    assert statement.claims == ("name", "birthdate", "gender")
    assert statement.exp - statement.iat == 60


# Forgeries


def test_a_token_for_another_origin(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce, origin="https://login.evil.example")
    assert_refused(house, token, TokenBindingMismatch, SPENT)


@pytest.mark.parametrize(
    "origin", [ORIGIN + "/", "http://localhost", "https://localhost:8000", "http://LOCALHOST:8000"]
)
def test_a_token_for_an_origin_that_only_looks_like_ours(house: LoginHouse, card: Card, origin: str) -> None:
    assert_refused(house, card.token(house.challenge().challenge_nonce, origin=origin), TokenBindingMismatch, SPENT)


def test_a_token_over_a_nonce_of_the_attackers_choice(house: LoginHouse, card: Card) -> None:
    house.challenge()
    assert_refused(house, card.token("A" * 43 + "="), TokenBindingMismatch, SPENT)


def test_a_token_of_another_session(house: LoginHouse, card: Card) -> None:
    house.interactions.begin("interaction-2")
    house.challenge()
    of_another = card.token(house.challenge("interaction-2").challenge_nonce)
    assert_refused(house, of_another, TokenBindingMismatch, SPENT)


def test_a_token_over_a_statement_altered_by_one_character(house: LoginHouse, card: Card) -> None:
    compact = house.challenge().compact
    altered = compact[:-1] + ("A" if compact[-1] != "A" else "B")
    assert_refused(house, card.token(challenge_nonce_of(digest_of(altered))), TokenBindingMismatch, SPENT)


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_one_bit_of_the_signature(house: LoginHouse, card: Card, position: int) -> None:
    signature = bytearray(sign(card.key, "ES256", ORIGIN, house.challenge().challenge_nonce))
    signature[position] ^= 1
    token = card.token("x", signature=b64encode(bytes(signature)).decode())
    assert_refused(house, token, TokenBindingMismatch, SPENT)


@pytest.mark.parametrize("r, s", [(0, 0), (0, 1), (1, 0), (2**256 - 1, 2**256 - 1)])
def test_ecdsa_values_outside_the_group(house: LoginHouse, card: Card, r: int, s: int) -> None:
    house.challenge()
    signature = b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    assert_refused(house, card.token("x", signature=signature), TokenBindingMismatch, SPENT)


def test_a_der_signature_instead_of_r_and_s(house: LoginHouse, card: Card) -> None:
    nonce = house.challenge().challenge_nonce
    octets = sha256(ORIGIN.encode()).digest() + sha256(nonce.encode()).digest()
    assert isinstance(card.key, ec.EllipticCurvePrivateKey)
    der = card.key.sign(octets, ec.ECDSA(SHA256()))
    assert_refused(house, card.token(nonce, signature=b64encode(der).decode()), TokenBindingMismatch, SPENT)


@pytest.mark.parametrize("named", ["RS256", "PS256", "ES384"])
def test_an_algorithm_that_the_certificates_key_cannot_have(house: LoginHouse, card: Card, named: str) -> None:
    token = card.token(house.challenge().challenge_nonce, algorithm="ES256") | {"algorithm": named}
    assert_refused(house, token, TokenAlgorithmMismatch, SPENT)


def test_an_elliptic_token_with_an_rsa_certificate(house: LoginHouse) -> None:
    card = house.ca.card(rsa_key())
    token = card.token(house.challenge().challenge_nonce) | {"algorithm": "ES256"}
    assert_refused(house, token, TokenAlgorithmMismatch, SPENT)


def test_pss_and_pkcs1_are_not_taken_for_each_other(house: LoginHouse) -> None:
    card = house.ca.card(rsa_key())
    token = card.token(house.challenge().challenge_nonce, algorithm="PS256") | {"algorithm": "RS256"}
    assert_refused(house, token, TokenBindingMismatch, SPENT)


@pytest.mark.parametrize("named", ["none", "None", "", "HS256", "ES512", "es256", "RS256\n", None, 256, ["ES256"]])
def test_algorithms_that_are_not_on_the_list(house: LoginHouse, card: Card, named: object) -> None:
    token = card.token(house.challenge().challenge_nonce, algorithm="ES256") | {"algorithm": named}
    assert_refused(house, token, TokenMalformed, SPENT)


def test_a_certificate_that_somebody_elses_key_signed_with(house: LoginHouse, card: Card) -> None:
    thief = house.ca.card(person_id="person-2")
    nonce = house.challenge().challenge_nonce
    mixed = Card(thief.key, card.certificate).token(nonce)
    assert_refused(house, mixed, TokenBindingMismatch, SPENT)


def test_a_certificate_of_a_ca_with_the_same_names(house: LoginHouse) -> None:
    stranger = LoginHouse(house.database, house.clock, house.rng).ca.card()
    token = stranger.token(house.challenge().challenge_nonce)
    assert_refused(house, token, CertificateUnknownIssuer, SPENT)


@pytest.mark.parametrize("error", [CertificateRevoked, CertificateSuspended, CertificateExpired])
def test_a_certificate_that_the_ca_does_not_stand_by(
    house: LoginHouse, card: Card, error: type[CertificateRefused]
) -> None:
    house.ca.refusals[card.certificate] = error
    assert_refused(house, card.token(house.challenge().challenge_nonce), error, SPENT)


def test_nobody_is_registered_for_the_certificate(house: LoginHouse) -> None:
    card = house.ca.card(person_id="nobody")
    assert_refused(house, card.token(house.challenge().challenge_nonce), PersonUnknown, SPENT)


# The challenge


def test_without_a_challenge(house: LoginHouse, card: Card) -> None:
    assert_refused(house, card.token("A" * 43 + "="), ChallengeMissing, NOTHING)


def test_a_malformed_token_spends_the_challenge(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    assert_refused(house, {}, TokenMalformed, SPENT)
    assert_refused(house, token, ChallengeAlreadyUsed, SPENT)


def test_a_check_that_breaks_spends_the_challenge_too(house: LoginHouse, card: Card) -> None:
    class Broken(Exception):
        pass

    def fail(*_: object) -> None:
        raise Broken

    house.ca.verify_for_login = fail  # type: ignore[method-assign, assignment] # a check with a bug in it
    token = card.token(house.challenge().challenge_nonce)
    with pytest.raises(Broken):
        house.service.authenticate(house.entry(), token)
    assert house.rows() == SPENT


def test_too_late(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    house.clock.advance(60)
    assert_refused(house, token, ChallengeExpired, NOTHING)


def test_at_the_last_moment(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    issued = house.clock().replace(microsecond=0)
    house.clock.set(issued + timedelta(seconds=60) - timedelta(microseconds=1))
    house.service.authenticate(house.entry(), token)
    assert house.rows() == DONE


def test_a_replayed_token(house: LoginHouse, card: Card) -> None:
    interaction = house.interactions.live["interaction-1"]
    token = card.token(house.challenge().challenge_nonce)
    house.service.authenticate(house.entry(), token)
    house.interactions.live["interaction-1"] = interaction  # as if the interaction had not moved on
    assert_refused(house, token, ChallengeAlreadyUsed, DONE)


def test_a_token_replayed_after_a_new_challenge(house: LoginHouse, card: Card) -> None:
    interaction = house.interactions.live["interaction-1"]
    token = card.token(house.challenge().challenge_nonce)
    house.service.authenticate(house.entry(), token)
    house.interactions.live["interaction-1"] = interaction
    house.challenge()
    assert_refused(house, token, ChallengeAlreadyUsed, Rows(sessions=1, evidence=1, redeemed=2))


def test_a_token_replayed_when_its_time_is_over(house: LoginHouse, card: Card) -> None:
    interaction = house.interactions.live["interaction-1"]
    token = card.token(house.challenge().challenge_nonce)
    house.service.authenticate(house.entry(), token)
    house.interactions.live["interaction-1"] = interaction
    house.clock.advance(120)
    assert_refused(house, token, ChallengeAlreadyUsed, DONE)


def test_an_earlier_challenge_of_the_same_interaction(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    house.challenge()
    assert_refused(house, token, ChallengeSuperseded, SPENT)


def test_a_challenge_of_the_same_interaction_that_nobody_remembers(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    for _ in range(8):
        house.challenge()
    assert_refused(house, token, TokenBindingMismatch, SPENT)


# The interaction


def test_another_browser(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    stolen = Entry(interaction_id="interaction-1", browser_token=BROWSER[::-1])
    with pytest.raises(WrongBrowser):
        house.service.challenge(stolen)
    with pytest.raises(WrongBrowser):
        house.service.authenticate(stolen, token)
    with pytest.raises(WrongBrowser):
        house.service.reported(stolen, "no_card")
    assert (house.rows(), house.events()) == (NOTHING, [])


def test_an_interaction_whose_time_is_over(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    house.clock.advance(600)
    with pytest.raises(InteractionExpired):
        house.service.authenticate(house.entry(), token)
    assert (house.rows(), house.events()) == (NOTHING, [])


def test_an_interaction_that_has_its_login(house: LoginHouse, card: Card) -> None:
    house.service.authenticate(house.entry(), card.token(house.challenge().challenge_nonce))
    with pytest.raises(InteractionMovedOn):
        house.challenge()
    with pytest.raises(InteractionMovedOn):
        house.service.authenticate(house.entry(), card.token("x"))
    assert house.rows() == DONE


def test_a_login_that_cannot_go_on_is_not_recorded_at_all(house: LoginHouse, card: Card) -> None:
    def moved_on(*_: object, **__: object) -> None:
        raise InteractionMovedOn

    house.interactions.authenticated_in = moved_on  # type: ignore[method-assign, assignment] # another tab was faster
    token = card.token(house.challenge().challenge_nonce)
    with pytest.raises(InteractionMovedOn):
        house.service.authenticate(house.entry(), token)
    assert (house.rows(), house.events()) == (NOTHING, [])


# What the browser reports, and the statement for the bridge


@pytest.mark.parametrize("code", sorted(REPORTED_CODES))
def test_reports_are_recorded_as_reports(house: LoginHouse, code: str) -> None:
    assert house.service.reported(house.entry(), code, request_id="r") == (code, None)
    assert house.events() == [("card_login.reported", "failed", {"reported_code": code, "client_id": "tax"})]
    assert house.rows() == NOTHING


@pytest.mark.parametrize("tries_left", [0, 2, 15])
def test_tries_left_are_recorded(house: LoginHouse, tries_left: int) -> None:
    house.service.reported(house.entry(), "pin_incorrect", tries_left)
    assert house.events()[0][2]["tries_left"] == tries_left


@pytest.mark.parametrize(
    "code, tries_left",
    [
        ("certificate_revoked", None),
        ("", None),
        (None, None),
        (["no_card"], None),
        ("no_card\n", None),
        ("pin_incorrect", -1),
        ("pin_incorrect", 16),
        ("pin_incorrect", True),
        ("pin_incorrect", "2"),
        ("pin_incorrect", 2.0),
    ],
)
def test_reports_that_no_bridge_makes(house: LoginHouse, code: object, tries_left: object) -> None:
    with pytest.raises(ReportRefused):
        house.service.reported(house.entry(), code, tries_left)
    assert house.events() == []


def test_a_bridge_fetches_the_statement_while_it_is_valid(house: LoginHouse) -> None:
    signed = house.challenge()
    assert house.service.statement(signed.digest) == signed.compact
    with pytest.raises(StatementNotFound):
        house.service.statement(bytes(32))
    house.clock.advance(60)
    with pytest.raises(StatementNotFound):
        house.service.statement(signed.digest)


# Races


def test_eight_threads_post_one_token_and_one_logs_in(house: LoginHouse, card: Card) -> None:
    token = card.token(house.challenge().challenge_nonce)
    start = threading.Barrier(8)

    def post(_: int) -> str:
        start.wait(timeout=10)
        try:
            house.service.authenticate(house.entry(), token)
        except (ChallengeAlreadyUsed, InteractionMovedOn) as error:
            return error.code
        return "logged in"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(post, range(8)))
    assert outcomes.count("logged in") == 1
    assert house.rows() == DONE
    assert [name for name, _, _ in house.events()].count("card_login.accepted") == 1
