"""The checker finds what is wrong with published lists, by name; the service that made them did not see it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, select, update

from ca_core.kernel.database import Database, Row, Statement, Transaction
from ca_core.revocation import StatusLog
from ca_core.revocation.model import CrlScope, DeltaScope, EntriesSize
from ca_core.status import CrlService, crl_store
from support.crl_world import ACTOR, PUBLICATION_URL, CrlWorld
from support.fakes import FakeClock, SeededRng
from support.small_pki import SmallPki

READ = Statement(
    select(crl_store.crl_chunks.c.octets).where(
        crl_store.crl_chunks.c.crl_id == bindparam("crl_id"),
        crl_store.crl_chunks.c.shard == bindparam("shard"),
        crl_store.crl_chunks.c.position == 1,
    )
)
WRITE = Statement(
    update(crl_store.crl_chunks)
    .where(
        crl_store.crl_chunks.c.crl_id == bindparam("wanted_id"),
        crl_store.crl_chunks.c.shard == bindparam("wanted_shard"),
        crl_store.crl_chunks.c.position == 1,
    )
    .values(octets=bindparam("new_octets"))
)
COUNT = Statement(
    update(crl_store.crls).where(crl_store.crls.c.id == bindparam("wanted_id")).values(entries=bindparam("new_entries"))
)


class WrongLog(StatusLog):
    """A log that is read wrongly, as by a statement with a fault in it."""

    def __init__(self, change: Callable[[list[Row]], list[Row]]) -> None:
        self._change = change

    def measure(self, tx: Transaction, scope: CrlScope | DeltaScope) -> list[EntriesSize]:
        sizes: dict[int | None, EntriesSize] = {}
        for page in self.entries(tx, scope):
            for _, entry, shard in page:
                size = sizes.get(shard, EntriesSize(shard=shard, entries=0, octets=0))
                sizes[shard] = replace(size, entries=size.entries + 1, octets=size.octets + len(entry))
        return list(sizes.values())

    def entries(self, tx: Transaction, scope: CrlScope | DeltaScope) -> Iterator[list[Row]]:
        for page in super().entries(tx, scope):
            yield self._change(page)


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> CrlWorld:
    world = CrlWorld(database, clock, rng, SmallPki())
    g3 = world.pki.g3
    world.introduce(g3, 2)
    several = [world.issue(g3) for _ in range(8)]
    world.revoke(*several[:4])
    world.crls.publish(g3.slug)
    world.crls.publish_delta(g3.slug)
    clock.advance(60)
    world.revoke(*several[4:6])
    world.revocations.suspend(g3.id, several[6].serial, ACTOR)
    world.crls.publish(g3.slug)
    world.crls.publish_delta(g3.slug)
    assert world.check().faults == []
    return world


def publish_wrongly(world: CrlWorld, change: Callable[[list[Row]], list[Row]], *, delta: bool = False) -> list[str]:
    service = CrlService(
        world.database,
        world.pki.authorities,
        world.pki.keys,
        WrongLog(change),
        world.audit,
        world.clock,
        publication_url=PUBLICATION_URL,
        shards=world.shards,
    )
    (service.publish_delta if delta else service.publish)("citizen-g3")
    return world.check().faults


def test_entries_that_were_dropped_are_named(world: CrlWorld) -> None:
    faults = publish_wrongly(world, lambda page: page[1:])
    first = f"{world.complete()[0].serial_number - 1:X}"
    assert any(fault.startswith("revoked in the database and not so on the complete CRL: ") for fault in faults)
    assert any("gone before its time" in fault and first in fault for fault in faults)


def test_entries_of_another_list_are_named(world: CrlWorld) -> None:
    stranger = world.issue(world.pki.g2, serial=0x4711)
    world.revoke(stranger)
    with world.database.read() as tx:
        scope = DeltaScope(authority_id=world.pki.g2.id, through=world.log.head(tx), base_through=0)
        page = next(iter(world.log.entries(tx, scope)))
    faults = publish_wrongly(world, lambda own: own + page)
    assert faults == [
        "on the complete CRL and not so in the database: 4711",
        "the complete CRL is not the union of its shards",
    ]


def test_a_certificate_in_the_wrong_shard_is_named(world: CrlWorld) -> None:
    faults = publish_wrongly(world, lambda page: [(seq, entry, 0) for seq, entry, _ in page])
    assert {fault.partition(":")[0] for fault in faults} == {
        "revoked in the database and not so in its shard",
        "in a shard and not so in the database",
    }


def test_a_certificate_in_no_shard_is_named(world: CrlWorld) -> None:
    faults = publish_wrongly(world, lambda page: [(seq, entry, None) for seq, entry, _ in page])
    assert "the complete CRL is not the union of its shards" in faults


def test_a_delta_that_lacks_a_change_is_named(world: CrlWorld) -> None:
    faults = publish_wrongly(world, lambda page: page[:-1], delta=True)
    assert [fault.partition(":")[0] for fault in faults] == ["revoked in the database and not so by base and delta"]


@pytest.mark.parametrize("shard", [crl_store.WHOLE, 1])
def test_octets_that_were_changed_do_not_verify(world: CrlWorld, shard: int) -> None:
    record = world.archive.latest_record("citizen-g3")
    assert record is not None
    with world.database.write() as tx:
        row = tx.one_or_none(READ, crl_id=record.id, shard=shard)
        assert row is not None
        octets = bytearray(row[0])
        octets[-90 if shard == crl_store.WHOLE else 40] ^= 1
        assert tx.execute(WRITE, wanted_id=record.id, wanted_shard=shard, new_octets=bytes(octets)) == 1
    faults = world.check().faults
    assert len(faults) == 1
    assert faults[0].split(":")[0] in ("status_signing_fault", "crl_malformed")


def test_a_row_that_says_something_else_than_the_octets(world: CrlWorld) -> None:
    record = world.archive.latest_record("citizen-g3")
    assert record is not None
    with world.database.write() as tx:
        tx.execute(COUNT, wanted_id=record.id, new_entries=record.entries + 1)
    assert any("its row says" in fault for fault in world.check().faults)


def test_lists_that_are_overdue(world: CrlWorld, clock: FakeClock) -> None:
    clock.advance(timedelta(hours=24).total_seconds())
    assert world.check().faults == ["the complete CRL is past its nextUpdate", "the delta is past its nextUpdate"]


def test_a_history_with_everything_in_it(world: CrlWorld, clock: FakeClock) -> None:
    g3 = world.pki.g3
    for day in range(6):
        brief = world.issue(g3, not_after=clock.now + timedelta(hours=5 + day))
        on_hold = [world.issue(g3) for _ in range(3)]
        world.revoke(brief, world.issue(g3))
        for issued in on_hold:
            world.revocations.suspend(g3.id, issued.serial, ACTOR)
        world.crls.publish_due()
        clock.advance(7 * 3600)
        world.revocations.resume(g3.id, on_hold[0].serial, ACTOR)
        world.revoke(on_hold[1])
        if day == 3:
            world.introduce(g3, 2)
        world.crls.publish_due()
        assert world.check().faults == []
        clock.advance(6 * 3600 if day != 4 else -3600)
    world.crls.publish_due()
    assert world.check("citizen-g2").faults == []
    assert world.check("root-g1").faults == []


def test_shards_that_nobody_publishes_are_named(world: CrlWorld, clock: FakeClock) -> None:
    clock.advance(60)
    CrlService(world.database, world.pki.authorities, world.pki.keys, world.log, world.audit, world.clock).publish(
        "citizen-g3"
    )
    assert world.check().faults == ["shards without a list: 0 1"]
