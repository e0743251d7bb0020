"""Eight threads at once: one certificate a request, one certificate a key, one root a ceremony."""

import threading
from collections.abc import Callable
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from ca_core.authorities import CeremonyAlreadyHeld, CeremonyRecord
from ca_core.issuance import IssuedCertificate, KeyReused, RequestIdReused
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.store import certificates, intents
from ca_core.kernel.database import Database, Statement
from support.fakes import FakeClock, SeededRng
from support.pki import MemoryKeyStore, World, ceremony, citizen_request, make_world, new_key

T = TypeVar("T")
THREADS = 8
CERTIFICATES = Statement(select(func.count()).select_from(certificates))
INTENTS = Statement(select(func.count()).select_from(intents))


def at_once(call: Callable[[int], T]) -> list[T | Exception]:
    """What each of the threads got, all of them let go at the same moment."""
    barrier, outcomes = threading.Barrier(THREADS), dict[int, T | Exception]()

    def work(index: int) -> None:
        barrier.wait()
        try:
            outcomes[index] = call(index)
        except Exception as error:  # noqa: BLE001 - judged by the caller
            outcomes[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[index] for index in range(THREADS)]


def count(database: Database, statement: Statement) -> int:
    with database.read() as tx:
        number: int = tx.all(statement)[0][0]
        return number


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return make_world(database, clock, rng)


def test_one_request_is_one_certificate(database: Database, world: World) -> None:
    key, before = new_key(), count(database, CERTIFICATES)
    outcomes = at_once(lambda _: world.issuance.issue(citizen_request(key=key)))
    first = outcomes[0]
    assert isinstance(first, IssuedCertificate)
    assert outcomes == [first] * THREADS
    assert count(database, CERTIFICATES) == count(database, INTENTS) == before + 1


def test_one_request_to_eight_processes_services_is_one_certificate(
    database: Database, clock: FakeClock, rng: SeededRng, world: World
) -> None:
    services = [World(database, clock, rng, key_store=world.key_store).issuance for _ in range(THREADS)]
    key, before = new_key(), count(database, CERTIFICATES)
    outcomes = at_once(lambda index: services[index].issue(citizen_request(key=key)))
    assert outcomes == [outcomes[0]] * THREADS
    assert isinstance(outcomes[0], IssuedCertificate)
    assert count(database, CERTIFICATES) == before + 1


def test_one_key_in_eight_requests_is_one_certificate(database: Database, world: World) -> None:
    key, before = new_key(), count(database, INTENTS)
    outcomes = at_once(lambda index: world.issuance.issue(citizen_request(f"r{index}", key=key)))
    assert sum(isinstance(outcome, IssuedCertificate) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, KeyReused) for outcome in outcomes) == THREADS - 1
    assert count(database, CERTIFICATES) == count(database, INTENTS) == before + 1


def test_eight_contents_under_one_id_are_one_certificate(database: Database, world: World) -> None:
    before = count(database, INTENTS)
    outcomes = at_once(lambda index: world.issuance.issue(citizen_request(common_name=f"王小{index}")))
    assert sum(isinstance(outcome, IssuedCertificate) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, RequestIdReused) for outcome in outcomes) == THREADS - 1
    assert count(database, CERTIFICATES) == count(database, INTENTS) == before + 1


def test_eight_requests_are_eight_certificates(database: Database, world: World) -> None:
    outcomes = at_once(lambda index: world.issuance.issue(citizen_request(f"r{index}")))
    serials = {outcome.serial for outcome in outcomes if isinstance(outcome, IssuedCertificate)}
    assert len(serials) == THREADS


def test_recovery_beside_running_issuances_records_each_intent_once(
    database: Database, clock: FakeClock, rng: SeededRng, world: World
) -> None:
    class Died(Exception):
        pass

    def die(step: Step) -> None:
        if step is Step.INTENT_RECORDED:
            raise Died

    dying = World(database, clock, rng, key_store=world.key_store, checkpoint=die)
    requests = [citizen_request(f"r{index}") for index in range(THREADS)]
    for request in requests:
        with pytest.raises(Died):
            dying.issuance.issue(request)
    before = count(database, CERTIFICATES)

    def work(index: int) -> IssuedCertificate:
        if index % 2:
            assert world.issuance.recover().stuck == ()
        return world.issuance.issue(requests[index])

    outcomes = at_once(work)
    assert all(isinstance(outcome, IssuedCertificate) for outcome in outcomes)
    assert count(database, CERTIFICATES) == count(database, INTENTS) == before + THREADS


def test_one_ceremony_file_makes_one_root(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    world = World(database, clock, rng, key_store=MemoryKeyStore())
    outcomes = at_once(lambda _: world.hold(ceremony()))
    assert all(isinstance(outcome, CeremonyRecord | CeremonyAlreadyHeld) for outcome in outcomes), outcomes
    held = [outcome for outcome in outcomes if isinstance(outcome, CeremonyRecord)]
    assert held == [held[0]] * len(held)
    assert [authority.slug for authority in world.registry.all()] == ["root-g1", "citizen-g1"]
    assert count(database, CERTIFICATES) == count(database, INTENTS) == 2
