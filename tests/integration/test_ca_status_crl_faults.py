"""What can go wrong while a CRL is made: no number is repeated, no revocation lost, the published one stays."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import bindparam, func, select

from ca_core.audit import AuditEvent
from ca_core.kernel.connections import DriverConnection
from ca_core.kernel.database import Database, Statement, Transaction
from ca_core.kernel.errors import Unavailable
from ca_core.revocation import StatusChange
from ca_core.revocation.crl_entry import crl_entry
from ca_core.status import crl_store
from ca_core.status.crl_steps import CrlStep
from ca_core.status.errors import CrlRefused, CrlSuperseded
from ca_core.status.model import CrlKind
from support import crl_child
from support.crl_world import ACTOR, CrlWorld, kill_child_environment, serials, store_keys
from support.fakes import FakeClock, SeededRng
from support.postgresql import PostgresqlServer, somebody_waits
from support.small_pki import SmallPki

ROWS = Statement(
    select(crl_store.crls.c.number, crl_store.crls.c.kind, crl_store.crls.c.state)
    .where(crl_store.crls.c.authority_id == bindparam("authority_id"))
    .order_by(crl_store.crls.c.number)
)
ORPHANS = Statement(
    select(func.count())
    .select_from(crl_store.crl_chunks.join(crl_store.crls, crl_store.crls.c.id == crl_store.crl_chunks.c.crl_id))
    .where(crl_store.crls.c.state != crl_store.PUBLISHED)
)


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> CrlWorld:
    return CrlWorld(database, clock, rng, SmallPki())


def rows(world: CrlWorld) -> list[tuple[int, str, str]]:
    with world.database.read() as tx:
        return [(row[0], row[1], row[2]) for row in tx.all(ROWS, authority_id=world.pki.g3.id)]


def orphans(world: CrlWorld) -> int:
    with world.database.read() as tx:
        row = tx.one_or_none(ORPHANS)
    return -1 if row is None else int(row[0])


DEATHS = [("complete", step) for step in CrlStep] + [("delta", CrlStep.BUILT), ("delta", CrlStep.WRITTEN)]


@pytest.mark.parametrize(("kind", "step"), DEATHS, ids=[f"{kind}-{step.value}" for kind, step in DEATHS])
def test_kill_9_at_each_step(
    sqlite_database_url: str, clock: FakeClock, rng: SeededRng, tmp_path: Path, kind: str, step: CrlStep
) -> None:
    kill_and_go_on(
        CrlWorld(Database.open(sqlite_database_url), clock, rng, SmallPki()), sqlite_database_url, tmp_path, kind, step
    )


@pytest.mark.parametrize("step", [CrlStep.BUILT, CrlStep.WRITTEN, CrlStep.PUBLISHED])
def test_kill_9_on_postgresql(
    postgresql_database_url: str, clock: FakeClock, rng: SeededRng, tmp_path: Path, step: CrlStep
) -> None:
    world = CrlWorld(Database.open(postgresql_database_url), clock, rng, SmallPki())
    kill_and_go_on(world, postgresql_database_url, tmp_path, "complete", step)


def kill_and_go_on(world: CrlWorld, url: str, folder: Path, kind: str, step: CrlStep) -> None:
    g3 = world.pki.g3
    world.introduce(g3, 2)
    revoked = [world.issue(g3) for _ in range(6)]
    world.revoke(*revoked[:3])
    world.crls.publish(g3.slug)
    world.crls.publish_delta(g3.slug)
    world.revoke(*revoked[3:])
    before = (world.complete(), world.delta(), world.shard(0))
    store_keys(world.pki, folder)
    tests = Path(crl_child.__file__).parents[1]
    child = subprocess.run(
        [sys.executable, "-m", "support.crl_child", url, folder, kind, step.value],
        cwd=tests,
        env=kill_child_environment(tests),
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    is_published = step is CrlStep.PUBLISHED
    assert ((world.complete(), world.delta(), world.shard(0)) == before) is not is_published
    taken = [number for number, _, _ in rows(world)]
    assert len(taken) == 3
    if is_published:
        assert serials(world.complete()) == {issued.serial for issued in revoked}
    assert world.check().faults == []
    again = [world.crls.publish(g3.slug).number, world.crls.publish_delta(g3.slug).number]
    assert again == sorted({*again}) and again[0] > taken[-1]
    assert serials(world.complete()) == {issued.serial for issued in revoked}
    assert world.check().faults == []
    world.clock.advance(2 * 3600)  # type: ignore[attr-defined]  # the fake
    world.crls.publish_delta(g3.slug)
    assert orphans(world) == 0
    world.database.dispose()


def test_a_full_disk_publishes_nothing_and_loses_nothing(
    sqlite_database_url: str, clock: FakeClock, rng: SeededRng, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca_core.status.crl_body.CHUNK_BYTES", 4_096)
    monkeypatch.setattr("ca_core.status.crl_body._PENDING_BYTES", 8_192)
    database = Database.open(sqlite_database_url)
    limit = {"pages": 1_073_741_823}

    take = database.connections.take

    def take_limited() -> DriverConnection:
        connection = take()
        connection.execute(f"PRAGMA max_page_count={limit['pages']}").close()
        return connection

    monkeypatch.setattr(database.connections, "take", take_limited)
    world = CrlWorld(database, clock, rng, SmallPki())
    g3 = world.pki.g3
    revoked = [world.issue(g3) for _ in range(400)]
    world.revoke(*revoked[:200])
    world.crls.publish(g3.slug)
    before = world.complete()
    world.revoke(*revoked[200:])
    limit["pages"] = 1  # no page more than there are
    refused = set()
    for _ in range(300):
        for name in ("revoke", "publish"):
            try:
                if name == "publish":
                    world.crls.publish(g3.slug)
                else:
                    world.revoke(world.issue(g3))
            except Unavailable as error:
                assert "full" in error.detail
                refused.add(name)
                assert serials(world.complete()) >= serials(before)
        if len(refused) == 2:
            break
    assert refused == {"revoke", "publish"}
    stood = rows(world)
    limit["pages"] = 1_073_741_823
    acknowledged = {change.serial for change in changes(world)}
    record = world.crls.publish(g3.slug)
    assert record.number > stood[-1][0]
    assert serials(world.complete()) == acknowledged
    assert acknowledged >= {issued.serial for issued in revoked}
    assert world.check().faults == []
    database.dispose()


def changes(world: CrlWorld) -> list[StatusChange]:
    found: list[StatusChange] = []
    with world.database.read() as tx:
        after = 0
        while page := world.log.changes_after(tx, after):
            found += page
            after = page[-1].sequence
    return found


def test_the_database_goes_away_in_the_midst(
    postgresql_database_url: str, postgresql_server: PostgresqlServer, clock: FakeClock, rng: SeededRng
) -> None:
    gone_at: set[CrlStep] = set()

    def cut(step: CrlStep) -> None:
        if step in gone_at:
            with postgresql_server.connect("citizenid") as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    world = CrlWorld(Database.open(postgresql_database_url), clock, rng, SmallPki(), checkpoint=cut)
    g3 = world.pki.g3
    issued = world.issue(g3)
    world.crls.publish(g3.slug)
    before = world.complete()
    world.revoke(issued)
    for step in (CrlStep.RESERVED, CrlStep.SIGNED, CrlStep.WRITTEN):
        gone_at = {step}
        with pytest.raises((Unavailable, psycopg.Error)):
            world.crls.publish(g3.slug)
        gone_at = set()
        assert try_again(world) == before
    numbers = [number for number, _, _ in rows(world)]
    assert world.crls.publish(g3.slug).number > numbers[-1]
    assert serials(world.complete()) == {issued.serial}
    assert world.check().faults == []
    world.database.dispose()


def try_again(world: CrlWorld) -> object:
    """The served list, once the pool has noticed each of its dead connections."""
    for _ in range(20):
        try:
            return world.complete()
        except Unavailable:
            continue
    raise AssertionError("the database stays away")


BAD_ENTRIES = {
    "cut short": lambda der: der[:-1],
    "a wrong length": lambda der: der[:1] + bytes([der[1] + 1]) + der[2:],
    "reason 7": lambda der: der[:-1] + b"\x07",
    "removeFromCRL": lambda der: der[:-1] + b"\x08",
    "a spare zero in the serial": lambda der: der[:4] + b"\x00" + der[5:],
    "February 31st": lambda der: der.replace(b"260302", b"260231"),  # pkilint alone sees this
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_an_entry_that_is_not_right_refuses_publication(
    world: CrlWorld, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    g3 = world.pki.g3
    several = [world.issue(g3) for _ in range(3)]
    world.revoke(several[0])
    world.crls.publish(g3.slug)
    before = world.complete()
    with monkeypatch.context() as patch:
        patch.setattr("ca_core.revocation.service.crl_entry", lambda *fields: BAD_ENTRIES[name](crl_entry(*fields)))
        world.revoke(several[1])
    world.revoke(several[2])
    for publish in (world.crls.publish, world.crls.publish_delta):
        if name == "removeFromCRL" and publish == world.crls.publish_delta:
            continue  # a delta may hold that: it is `check-crls` that finds it
        with pytest.raises(CrlRefused):
            publish(g3.slug)
        with world.database.read() as tx:
            assert world.audit.recent(tx)[0].name == "crl.refused"
        assert orphans(world) == 0
    assert world.complete() == before
    assert {state for _, _, state in rows(world)[1:]} == {"given_up"}


def test_workers_at_once_of_both_kinds(world: CrlWorld) -> None:
    g3 = world.pki.g3
    world.introduce(g3, 2)
    several = [world.issue(g3) for _ in range(10)]
    world.crls.publish(g3.slug)
    barrier = threading.Barrier(4)

    def publish(number: int) -> list[int]:
        barrier.wait()
        made = []
        for turn in range(3):
            try:
                act = world.crls.publish if (turn + number) % 2 else world.crls.publish_delta
                made.append(act(g3.slug).number)
            except CrlSuperseded:
                continue
        return made

    def change(_: int) -> list[int]:
        barrier.wait()
        for issued in several:
            world.revocations.suspend(g3.id, issued.serial, ACTOR)
        for issued in several[::2]:
            world.revocations.resume(g3.id, issued.serial, ACTOR)
        return []

    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(publish if number else change, number) for number in range(4)]
        made = [number for result in results for number in result.result()]
    assert len(set(made)) == len(made)
    world.crls.publish(g3.slug)
    world.crls.publish_delta(g3.slug)
    assert serials(world.complete()) == {issued.serial for issued in several[1::2]}
    assert world.check().faults == []
    numbers = [number for number, _, _ in rows(world)]
    assert len(set(numbers)) == len(numbers)


def test_a_higher_number_never_knows_less_though_clocks_differ(
    postgresql_database_url: str, clock: FakeClock, rng: SeededRng, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two publishers whose clocks are two hours apart do not collide in the number: the one that is ahead has read its
    place in the log, and before it commits a certificate is revoked and the other begins."""
    database = Database.open(postgresql_database_url)
    world = CrlWorld(database, clock, rng, SmallPki())
    g3, issued = world.pki.g3, world.issue(world.pki.g3)
    world.crls.publish(g3.slug)
    ahead = CrlWorld(database, FakeClock(clock.now + timedelta(hours=2)), rng, world.pki)
    has_read, go_on = threading.Event(), threading.Event()
    append = ahead.audit.append

    def slow(tx: Transaction, event: AuditEvent) -> None:
        has_read.set()
        go_on.wait(10)
        append(tx, event)

    monkeypatch.setattr(ahead.audit, "append", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ahead.crls.publish, g3.slug)
        assert has_read.wait(10)

        def revoke_and_publish() -> None:
            world.revoke(issued)
            world.crls.publish(g3.slug)

        second = pool.submit(revoke_and_publish)
        while not (second.done() or somebody_waits(database)):
            threading.Event().wait(0.005)
        go_on.set()
        first.result(timeout=30)
        second.result(timeout=30)
    with database.read() as tx:
        completes = crl_store.newest(tx, g3.id, CrlKind.COMPLETE, limit=3)
    assert [record.through for record in completes] == [1, 0, 0]
    assert serials(world.complete()) == {issued.serial}
    database.dispose()
