"""The audit log on both databases: sequenced by several workers at once, and every kind of tampering found."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, delete, insert, select, update

from ca_core.audit import (
    AuditEvent,
    AuditLog,
    AuditLogFault,
    AuditSequencer,
    EventRefused,
    Outcome,
    store,
    tree_store,
    verify_log,
)
from ca_core.audit.append_only import protection_statements, removal_statements
from ca_core.audit.errors import FaultKind
from ca_core.audit.model import leaf_hash
from ca_core.kernel.database import Database, Statement
from support.fakes import FakeClock, SeededRng

ALTER_ACTOR = Statement(update(store.events).where(store.events.c.id == bindparam("key")).values(actor=bindparam("to")))
ALTER_LEAF = Statement(
    update(store.events)
    .where(store.events.c.id == bindparam("key"))
    .values(actor=bindparam("to"), leaf_hash=bindparam("leaf"))
)
REMOVE_EVENT = Statement(delete(store.events).where(store.events.c.id == bindparam("key")))
REMOVE_PLACE = Statement(delete(store.sequence).where(store.sequence.c.leaf_index == bindparam("key")))
MOVE_PLACE = Statement(
    update(store.sequence).where(store.sequence.c.leaf_index == bindparam("key")).values(event_id=bindparam("to"))
)
MOVE_HEAD = Statement(update(store.head).values(size=bindparam("new_size"), root_hash=bindparam("root")))
CHANGE_TILE = Statement(update(tree_store.tiles).values(hashes=bindparam("to")))
CHANGE_BUNDLE = Statement(update(tree_store.bundles).values(commitments=bindparam("to")))
SLIP_IN = Statement(
    insert(store.events).values(
        id=bindparam("id"),
        at=bindparam("at"),
        name=bindparam("name"),
        actor=bindparam("actor"),
        outcome=bindparam("outcome"),
        subject=bindparam("subject"),
        request_id=bindparam("request_id"),
        detail=bindparam("detail"),
        salt=bindparam("salt"),
        leaf_hash=bindparam("leaf_hash"),
    )
)
PLACES = Statement(select(store.sequence.c.leaf_index, store.sequence.c.event_id).order_by(store.sequence.c.leaf_index))


def event(number: int) -> AuditEvent:
    return AuditEvent(name="test.done", actor="system:test", outcome=Outcome.OK, detail={"number": number})


@pytest.fixture
def log(clock: FakeClock, rng: SeededRng) -> AuditLog:
    return AuditLog(clock, rng)


@pytest.fixture
def ids(database: Database, clock: FakeClock, log: AuditLog) -> list[int]:
    """Six placed and settled events, and a seventh that waits."""
    with database.write() as tx:
        for number in range(6):
            log.append(tx, event(number))
    clock.advance(600)
    assert AuditSequencer(database, clock).run_once() == 6
    with database.write() as tx:
        log.append(tx, event(6))
        return sorted(found.id for found in log.recent(tx))


def fault_of(database: Database) -> tuple[FaultKind, int | None]:
    with pytest.raises(AuditLogFault) as caught:
        verify_log(database)
    return caught.value.kind, caught.value.leaf_index


@pytest.fixture
def unprotected(database: Database) -> Iterator[None]:
    """For who tampers: no trigger is in the way. PostgreSQL's tables outlive the test, so theirs come back."""
    with database.engine.begin() as connection:
        for statement in removal_statements(database.dialect_name):
            connection.exec_driver_sql(statement)
    yield
    with database.engine.begin() as connection:
        for statement in protection_statements(database.dialect_name):
            connection.exec_driver_sql(statement)


def test_an_untouched_log_verifies(database: Database, clock: FakeClock, ids: list[int]) -> None:
    report = verify_log(database)
    assert (report.chained, report.waiting) == (6, 1)
    sequencer = AuditSequencer(database, clock)
    assert sequencer.run_once() == 1
    assert sequencer.run_once() == 0
    assert sequencer.sweep() == 0
    assert verify_log(database).chained == 7


def test_an_empty_log_verifies(database: Database, clock: FakeClock) -> None:
    assert verify_log(database).chained == 0
    assert AuditSequencer(database, clock).run_once() == 0
    assert verify_log(database).chained == 0


def test_a_refused_event_writes_nothing(database: Database, log: AuditLog) -> None:
    with pytest.raises(EventRefused), database.write() as tx:
        log.append(tx, event(1))
        log.append(tx, AuditEvent(name="bad", actor="system:test", outcome=Outcome.OK))
    with database.read() as tx:
        assert log.recent(tx) == []


@pytest.mark.usefixtures("unprotected")
class TestTampering:
    def test_an_altered_event_is_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            assert tx.execute(ALTER_ACTOR, key=ids[2], to="system:other") == 1
        assert fault_of(database) == (FaultKind.ALTERED, 2)

    def test_an_event_altered_with_its_leaf_is_found(self, database: Database, log: AuditLog, ids: list[int]) -> None:
        with database.write() as tx:
            victim = next(found for found in log.recent(tx) if found.id == ids[2])
            leaf = leaf_hash(
                at=victim.at,
                name=victim.name,
                actor="system:other",
                outcome=victim.outcome.value,
                subject=victim.subject,
                request_id=victim.request_id,
                detail=victim.detail,
                salt=victim.salt,
            )
            tx.execute(ALTER_LEAF, key=ids[2], to="system:other", leaf=leaf)
        assert fault_of(database) == (FaultKind.TREE_BROKEN, 2)

    def test_a_removed_event_is_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            tx.execute(REMOVE_EVENT, key=ids[4])
        assert fault_of(database) == (FaultKind.REMOVED, 4)

    def test_a_removed_place_is_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            tx.execute(REMOVE_PLACE, key=2)
        assert fault_of(database) == (FaultKind.REMOVED, 2)

    def test_a_cut_tail_is_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            tx.execute(REMOVE_PLACE, key=5)
            tx.execute(REMOVE_EVENT, key=ids[5])
        assert fault_of(database) == (FaultKind.TAIL_CUT, 5)

    def test_reordered_places_are_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            tx.execute(MOVE_PLACE, key=2, to=10_000)
            tx.execute(MOVE_PLACE, key=3, to=ids[2])
            tx.execute(MOVE_PLACE, key=2, to=ids[3])
        assert fault_of(database) == (FaultKind.TREE_BROKEN, 2)

    def test_a_changed_tile_is_found_and_not_built_upon(
        self, database: Database, clock: FakeClock, ids: list[int]
    ) -> None:
        with database.write() as tx:
            tx.execute(CHANGE_TILE, to=bytes(32 * 6))
        assert fault_of(database) == (FaultKind.TREE_BROKEN, 0)
        with pytest.raises(AuditLogFault):
            AuditSequencer(database, clock).run_once()
        with database.read() as tx:
            assert len(tx.all(PLACES)) == 6

    def test_a_changed_bundle_is_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            tx.execute(CHANGE_BUNDLE, to=bytes(32 * 6))
        assert fault_of(database) == (FaultKind.TREE_BROKEN, 0)

    def test_a_changed_head_is_found(self, database: Database, ids: list[int]) -> None:
        with database.write() as tx:
            tx.execute(MOVE_HEAD, new_size=6, root=bytes(32))
        assert fault_of(database) == (FaultKind.TAIL_CUT, 6)


def test_an_event_slipped_in_later_is_found(database: Database, log: AuditLog, ids: list[int]) -> None:
    with database.write() as tx:
        copy = log.recent(tx)[-1]
        tx.execute(
            SLIP_IN,
            id=ids[0] - 1,
            at=copy.at - timedelta(days=1),
            name=copy.name,
            actor=copy.actor,
            outcome=copy.outcome.value,
            subject=copy.subject,
            request_id=copy.request_id,
            detail=copy.detail,
            salt=copy.salt,
            leaf_hash=copy.leaf_hash,
        )
    assert fault_of(database) == (FaultKind.UNSEQUENCED, None)


def test_workers_side_by_side_make_one_tree(database: Database, clock: FakeClock, log: AuditLog) -> None:
    barrier = threading.Barrier(8)

    def work(number: int) -> int:
        barrier.wait()
        chained = 0
        for turn in range(5):
            if number % 2:
                with database.write() as tx:
                    log.append(tx, event(number * 10 + turn))
            else:
                chained += AuditSequencer(database, clock).run_once()
        return chained

    with ThreadPoolExecutor(8) as pool:
        chained = sum(pool.map(work, range(8)))
    chained += AuditSequencer(database, clock).run_once()
    assert chained == 20
    assert verify_log(database).chained == 20
    with database.read() as tx:
        places = tx.all(PLACES)
    assert [index for index, _ in places] == list(range(20))
    assert len({event_id for _, event_id in places}) == 20


def test_an_event_that_commits_late_still_gets_its_place(database: Database, clock: FakeClock, log: AuditLog) -> None:
    """PostgreSQL hands out ids before the commit: a lower id may appear after a higher one got its place."""
    if database.is_embedded:
        with database.write() as tx:
            log.append(tx, event(1))
            log.append(tx, event(2))
    else:
        with database.write() as slow:
            log.append(slow, event(1))
            with database.write() as quick:
                log.append(quick, event(2))
            assert AuditSequencer(database, clock).run_once() == 1
    clock.advance(1)
    assert AuditSequencer(database, clock).run_once() >= 1
    assert verify_log(database).chained == 2


def test_an_event_that_commits_after_the_grace_is_reported_until_it_is_swept_up(
    database: Database, clock: FakeClock, log: AuditLog
) -> None:
    sequencer = AuditSequencer(database, clock)
    if database.is_embedded:  # one writer at a time: ids follow the order of the commits
        assert sequencer.sweep() == 0
        return
    with database.write() as slow:
        log.append(slow, event(1))
        log.recent(slow)  # which takes the event to the database: its id is given
        with database.write() as quick:
            log.append(quick, event(2))
        clock.advance(600)
        assert sequencer.run_once() == 1
    assert sequencer.run_once() == 0
    assert fault_of(database) == (FaultKind.UNSEQUENCED, None)
    assert sequencer.sweep() == 1
    assert verify_log(database).chained == 2
