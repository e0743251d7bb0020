"""Statements in both databases: recorded, redeemed at most once, kept as evidence, forgotten."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict
from ca_core.statement import (
    Flow,
    LocalText,
    SignedStatement,
    StatementIssuer,
    StatementNotRedeemed,
    StatementStore,
)
from support.fakes import FakeClock, SeededRng

ISSUER = "http://localhost:8000"
STORE = StatementStore()


@pytest.fixture
def issuer(clock: FakeClock, rng: SeededRng) -> StatementIssuer:
    return StatementIssuer(ec.generate_private_key(ec.SECP256R1()), "k", issuer=ISSUER, clock=clock, rng=rng)


def issue(issuer: StatementIssuer) -> SignedStatement:
    return issuer.issue(
        flow=Flow.CARD,
        origin=ISSUER,
        client_id="tax-filing",
        client_name=LocalText("綜合所得稅申報", "Income tax filing"),
        purpose=LocalText("登入", "Log in"),
        acr="urn:citizenid:loa:high",
        claims=("name",),
    )


def recorded(database: Database, issuer: StatementIssuer, interaction_key: str = "interaction-1") -> SignedStatement:
    signed = issue(issuer)
    with database.write() as tx:
        STORE.record(tx, signed, interaction_key)
    return signed


def redeem(database: Database, signed: SignedStatement, clock: FakeClock, interaction: str = "interaction-1") -> object:
    with database.write() as tx:
        return STORE.redeem(tx, signed.digest, interaction, clock.now)


def test_redeemed_once_and_never_again(database: Database, issuer: StatementIssuer, clock: FakeClock) -> None:
    signed = recorded(database, issuer)
    assert redeem(database, signed, clock) == signed
    assert redeem(database, signed, clock) is None


def test_refused_for_another_interaction_and_still_there(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    signed = recorded(database, issuer)
    assert redeem(database, signed, clock, "interaction-2") is None
    assert redeem(database, signed, clock) == signed


def test_refused_from_the_second_it_expires(database: Database, issuer: StatementIssuer, clock: FakeClock) -> None:
    signed = recorded(database, issuer)
    clock.set(signed.expires_at)
    assert redeem(database, signed, clock) is None
    clock.advance(-0.000001)
    assert redeem(database, signed, clock) == signed


def test_unknown_digest(database: Database, issuer: StatementIssuer, clock: FakeClock) -> None:
    assert redeem(database, issue(issuer), clock) is None


def test_a_redemption_that_is_rolled_back_did_not_happen(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    signed = recorded(database, issuer)
    with pytest.raises(ZeroDivisionError), database.write() as tx:
        assert STORE.redeem(tx, signed.digest, "interaction-1", clock.now) == signed
        raise ZeroDivisionError
    assert redeem(database, signed, clock) == signed


def test_eight_threads_redeem_one_statement_and_one_wins(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    signed = [recorded(database, issuer) for _ in range(5)]
    barrier = threading.Barrier(8)

    def race() -> list[bool]:
        won = []
        for one in signed:
            barrier.wait()
            won.append(redeem(database, one, clock) is not None)
        return won

    with ThreadPoolExecutor(8) as pool:
        outcomes = [future.result() for future in [pool.submit(race) for _ in range(8)]]
    assert [sum(winners) for winners in zip(*outcomes, strict=True)] == [1] * 5


def test_recording_twice_is_a_conflict(database: Database, issuer: StatementIssuer) -> None:
    signed = recorded(database, issuer)
    with pytest.raises(Conflict), database.write() as tx:
        STORE.record(tx, signed, "interaction-2")


def test_earlier_digests_are_the_interactions_own_newest_first(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    first = recorded(database, issuer)
    second = recorded(database, issuer)
    recorded(database, issuer, "interaction-2")
    redeem(database, second, clock)
    clock.advance(3600)
    with database.read() as tx:
        assert STORE.earlier_digests(tx, "interaction-1") == [second.digest, first.digest]
        assert STORE.earlier_digests(tx, "interaction-3") == []


def test_the_list_of_earlier_digests_is_bounded(database: Database, issuer: StatementIssuer) -> None:
    digests = [recorded(database, issuer).digest for _ in range(10)]
    with database.read() as tx:
        assert STORE.earlier_digests(tx, "interaction-1") == digests[:1:-1]


def test_the_bridge_finds_a_statement_by_digest_until_it_expires(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    signed = recorded(database, issuer)
    with database.read() as tx:
        assert STORE.compact_by_digest(tx, signed.digest, clock.now) == signed.compact
        assert STORE.compact_by_digest(tx, signed.digest, signed.expires_at) is None
        assert STORE.compact_by_digest(tx, bytes(32), clock.now) is None


def keep_evidence(database: Database, signed: SignedStatement, clock: FakeClock) -> None:
    with database.write() as tx:
        STORE.record_evidence(
            tx,
            signed.digest,
            signature=b"\x01" * 64,
            algorithm="ES256",
            certificate_id=2**40,
            person_id="p" * 22,
            now=clock.now,
        )


def test_evidence_is_kept_of_a_redeemed_statement_only_and_once(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    signed = recorded(database, issuer)
    with pytest.raises(StatementNotRedeemed):
        keep_evidence(database, signed, clock)
    with database.read() as tx:
        assert STORE.evidence(tx, signed.digest) is None
    redeem(database, signed, clock)
    keep_evidence(database, signed, clock)
    with pytest.raises(Conflict):
        keep_evidence(database, signed, clock)
    with database.read() as tx:
        kept = STORE.evidence(tx, signed.digest)
    assert kept is not None
    assert kept.compact == signed.compact
    assert (kept.signature, kept.algorithm, kept.certificate_id) == (b"\x01" * 64, "ES256", 2**40)
    assert (kept.person_id, kept.at) == ("p" * 22, clock.now)


def test_expired_statements_are_forgotten_in_batches_and_evidence_stays(
    database: Database, issuer: StatementIssuer, clock: FakeClock
) -> None:
    old = [recorded(database, issuer) for _ in range(5)]
    redeem(database, old[0], clock)
    keep_evidence(database, old[0], clock)
    clock.advance(3600)
    fresh = recorded(database, issuer)
    before = clock.now - timedelta(minutes=30)
    with database.write() as tx:
        assert STORE.delete_expired(tx, before=before, at_most=3) == 3
    with database.write() as tx:
        assert STORE.delete_expired(tx, before=before, at_most=3) == 2
        assert STORE.delete_expired(tx, before=before, at_most=3) == 0
        assert STORE.earlier_digests(tx, "interaction-1") == [fresh.digest]
        assert STORE.evidence(tx, old[0].digest) is not None
    assert redeem(database, fresh, clock) == fresh
