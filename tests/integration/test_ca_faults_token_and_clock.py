"""The token gone, the clock an hour back: afterwards lists, answers, stamps and certificates go on."""

from datetime import timedelta

import pytest
from cryptography.x509 import load_der_x509_crl
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus
from sqlalchemy import select

from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.revocation import RevocationReason
from ca_core.status.crl_store import crls
from support.audit_refusal import CountingKeyStore
from support.fakes import FakeClock, SeededRng
from support.pki import World, ceremony, citizen_request
from support.whole_ca import ACTOR, SLUG, WholeCa

GONE = Unavailable("the token is gone")
HOUR = 3_600


@pytest.fixture
def ca(database: Database, clock: FakeClock, rng: SeededRng) -> WholeCa:
    return WholeCa(database, clock, rng)


def listed(ca: WholeCa) -> set[int]:
    der = ca.archive.latest(SLUG)
    assert der is not None
    return {entry.serial_number for entry in load_der_x509_crl(der)}


# The token


def test_without_the_token_no_list_is_made_and_the_published_one_stays(ca: WholeCa) -> None:
    issued = ca.issue()
    ca.crls.publish_due()
    ca.revocations.revoke(ca.authority.id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    before = (ca.archive.latest(SLUG), ca.archive.latest_delta(SLUG))
    ca.clock.advance(13 * HOUR)
    ca.keys.gone = GONE
    for publish in (ca.crls.publish, ca.crls.publish_delta, lambda _: ca.crls.publish_due()):
        with pytest.raises(Unavailable):
            publish(SLUG)
        assert (ca.archive.latest(SLUG), ca.archive.latest_delta(SLUG)) == before
    taken = taken_numbers(ca)
    assert len(taken) == len(set(taken)) == 2 + 2 + 1  # the two that stand, and one a try
    ca.keys.gone = None
    made = [record.number for record in ca.crls.publish_due() if record.authority_id == ca.authority.id]
    assert made == sorted(set(made)) and made[0] > max(taken)
    assert listed(ca) == {issued.serial}
    ca.verify_whole()


def taken_numbers(ca: WholeCa) -> list[int]:
    """Every CRL number that was ever taken by the authority, whatever became of its list."""
    statement = select(crls.c.number).where(crls.c.authority_id == ca.authority.id)
    with ca.database.engine.connect() as connection:
        return [row[0] for row in connection.execute(statement)]


def test_without_the_token_what_was_signed_is_answered_and_the_rest_later(ca: WholeCa) -> None:
    known, other = ca.issue("known", 1), ca.issue("other", 2)
    ca.ask(ca.ocsp, known)
    ca.ocsp.presigned.run_once()
    fresh = ca.node()
    ca.ask(fresh, ca.issue("warm", 3))  # has found its responder
    ca.keys.gone = GONE
    for node in (ca.ocsp, fresh):
        assert ca.ask(node, known).certificate_status is OCSPCertStatus.GOOD
        assert ca.ask(node, other).response_status is OCSPResponseStatus.TRY_LATER
        assert ca.ask(node, known, nonce=b"n" * 32).response_status is OCSPResponseStatus.TRY_LATER
    ca.revocations.revoke(ca.authority.id, known.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    ca.clock.advance(1)
    for node in (ca.ocsp, fresh):  # never "good" again, though nothing else can be said
        assert ca.ask(node, known).response_status is OCSPResponseStatus.TRY_LATER
    with pytest.raises(Unavailable):
        ca.ocsp.presigned.run_once()
    ca.keys.gone = None
    for node in (ca.ocsp, fresh):
        assert ca.ask(node, other).certificate_status is OCSPCertStatus.GOOD
        assert ca.ask(node, known).certificate_status is OCSPCertStatus.REVOKED


def test_without_the_token_no_responder_and_no_unit_is_made_and_later_one_of_each(ca: WholeCa) -> None:
    units, responders = len(ca.rows("timestamp_units")), len(ca.rows("ocsp_responders"))
    ca.clock.advance(400 * 86_400)
    ca.keys.gone = GONE
    for _ in range(3):
        with pytest.raises(Unavailable):
            ca.ocsp_responders.ensure(ca.world.issuance, ca.rng)
        with pytest.raises(Unavailable):
            ca.units.ensure(ca.world.issuance, ca.rng)
    ca.keys.gone = None
    assert ca.ocsp_responders.ensure(ca.world.issuance, ca.rng) == ["root-g1", SLUG]
    assert ca.units.ensure(ca.world.issuance, ca.rng)
    assert len(ca.rows("ocsp_responders")) == responders + 2
    assert len(ca.rows("timestamp_units")) == units + 1
    assert ca.ocsp_responders.ensure(ca.world.issuance, ca.rng) == []
    assert not ca.units.ensure(ca.world.issuance, ca.rng)
    ca.verify_whole()


def test_without_the_token_no_stamp_is_given_and_its_serial_is_not_used_again(ca: WholeCa) -> None:
    assert ca.stamp()
    ca.keys.gone = GONE
    assert not ca.stamp()
    assert len(ca.rows("timestamps")) == 2
    ca.keys.gone = None
    assert ca.stamp()
    assert len(ca.rows("timestamps")) == 3
    ca.clock.advance(600)
    seal = ca.records.seal(ACTOR)
    assert seal is not None and seal.count == 3


def test_without_the_token_a_revocation_is_acknowledged_all_the_same(ca: WholeCa) -> None:
    issued = ca.issue()
    signatures = ca.keys.signatures
    ca.keys.gone = GONE
    ca.revocations.revoke(ca.authority.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    ca.keys.gone = None
    assert ca.keys.signatures == signatures
    assert ca.ask(ca.node(), issued).certificate_status is OCSPCertStatus.REVOKED
    ca.verify_whole()


def test_a_ceremony_without_the_token_is_finished_by_the_same_file(
    database: Database, clock: FakeClock, rng: SeededRng
) -> None:
    keys = CountingKeyStore()
    world = World(database, clock, rng, key_store=keys)
    keys.gone = GONE
    for _ in range(2):
        with pytest.raises(Unavailable):
            world.hold(ceremony())
    assert (world.registry.all(), keys.signatures) == ((), 0)
    keys.gone = None
    assert world.hold(ceremony()).authorities == ("root-g1", SLUG)
    assert keys.signatures == 2
    assert world.issuance.issue(citizen_request()).serial


# The clock


def test_a_clock_an_hour_back_loses_no_change_of_status(ca: WholeCa) -> None:
    first, second, held = (ca.issue(f"r{number}", number) for number in range(3))
    ca.revocations.suspend(ca.authority.id, held.serial, ACTOR)
    ca.revocations.revoke(ca.authority.id, first.serial, RevocationReason.SUPERSEDED, ACTOR)
    ca.crls.publish_due()
    ca.clock.advance(-HOUR)
    ca.revocations.resume(ca.authority.id, held.serial, ACTOR)  # by the clock before it was suspended
    ca.revocations.revoke(ca.authority.id, second.serial, RevocationReason.SUPERSEDED, ACTOR)
    node = ca.node()
    said = [ca.ask(node, one).certificate_status for one in (first, second, held)]
    assert said == [OCSPCertStatus.REVOKED, OCSPCertStatus.REVOKED, OCSPCertStatus.GOOD]
    ca.crls.publish(SLUG)
    assert listed(ca) == {first.serial, second.serial}
    ca.verify_whole()


def test_a_clock_an_hour_back_hands_out_no_answer_from_the_future(ca: WholeCa) -> None:
    issued = ca.issue()
    ca.clock.advance(2 * HOUR)
    ca.ask(ca.ocsp, issued)
    ca.ocsp.presigned.run_once()
    ca.clock.advance(-HOUR)
    for node in (ca.ocsp, ca.node()):
        response = ca.ask(node, issued)
        assert response.certificate_status is OCSPCertStatus.GOOD
        assert response.this_update_utc <= ca.clock.now
    ca.revocations.revoke(ca.authority.id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    ca.clock.advance(1)
    for node in (ca.ocsp, ca.node()):
        assert ca.ask(node, issued).certificate_status is OCSPCertStatus.REVOKED


def test_a_clock_an_hour_back_repeats_no_serial_and_no_number_though_processes_begin_anew(ca: WholeCa) -> None:
    serials, numbers = [ca.issue("before", 1).serial], [ca.crls.publish(SLUG).number]
    for step_s in (-HOUR, 0, HOUR, -HOUR):
        ca.clock.advance(step_s)
        node = WholeNode(ca)
        serials.append(node.issue(len(serials) + 1))
        numbers += [node.publish(), node.publish()]
    assert len(set(serials)) == len(serials)
    assert numbers == sorted(set(numbers))
    ca.verify_whole()


class WholeNode:
    """Issuance and lists in a process that knows nothing but the database."""

    def __init__(self, ca: WholeCa) -> None:
        self._ca = ca
        self._issuance = type(ca.world)(ca.database, ca.clock, ca.rng, key_store=ca.keys).issuance
        self._crls = type(ca.crls)(ca.database, ca.registry, ca.keys, ca.log, ca.audit, ca.clock)

    def issue(self, number: int) -> int:
        request = citizen_request(f"n{number}", card_number=f"{number:016d}")
        return self._issuance.issue(request).serial

    def publish(self) -> int:
        return self._crls.publish(SLUG).number


def test_a_clock_an_hour_back_keeps_every_event_in_the_log(ca: WholeCa) -> None:
    for step_s in (0, -HOUR, 30, -HOUR, 3 * HOUR):
        ca.clock.advance(step_s)
        ca.issue(f"at-{ca.clock.now.timestamp()}", int(ca.clock.now.timestamp()))
        ca.sequencer.run_once()
    ca.clock.now += timedelta(days=1)
    ca.verify_whole()
