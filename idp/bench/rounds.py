"""Rounds of one operation against one server, and what they cost it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from idp.bench.accounting import NOTHING, Usage
from idp.bench.server import ServerUnderTest

Operation = Callable[[], Awaitable[None]]
"""One whole operation by one of the persons; raises where anything is not as it should be."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the rounds of one server add up to."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    usage: Usage = NOTHING
    database_usage: Usage | None = None
    cpu_ms_per_round: list[float] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return len(self.latencies_s)

    @property
    def cpu_ms_per_operation(self) -> float:
        return self.usage.cpu_s * 1000 / max(self.operations, 1)

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the operations kept within."""
        if not self.latencies_s:
            return 0.0
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A server, the operations of its persons (each one's run one after the other), and its tally."""

    server: ServerUnderTest
    persons: Sequence[Operation]
    tally: Tally = field(default_factory=Tally)


async def run_rounds(contestants: Sequence[Contestant], *, seconds: float, rounds: int, warm_up_s: float) -> None:
    """Each contestant in turn, `rounds` times, so that what else the machine does meets all alike.

    seconds: for each contestant, over all its rounds. The warm-up is not counted.
    """
    for contestant in contestants:
        await _drive(contestant.persons, warm_up_s)
    for _ in range(rounds):
        for contestant in contestants:
            await _round(contestant, seconds / rounds)


async def _round(contestant: Contestant, seconds: float) -> None:
    tally, server = contestant.tally, contestant.server
    before, database_before = server.usage(), server.database_usage()
    started = time.perf_counter()
    latencies = await _drive(contestant.persons, seconds)
    tally.seconds += time.perf_counter() - started
    spent = server.usage() - before
    tally.usage += spent
    tally.latencies_s += latencies
    tally.cpu_ms_per_round.append(round(spent.cpu_s * 1000 / max(len(latencies), 1), 3))
    database_after = server.database_usage()
    if database_before is not None and database_after is not None:
        tally.database_usage = (tally.database_usage or NOTHING) + (database_after - database_before)


async def _drive(persons: Sequence[Operation], seconds: float) -> list[float]:
    """All persons at once until the time is up; each finishes what it has begun. Returns each operation's seconds."""
    deadline = time.perf_counter() + seconds
    latencies: list[float] = []

    async def one(operation: Operation) -> None:
        while (began := time.perf_counter()) < deadline:
            await operation()
            latencies.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for operation in persons:
            group.create_task(one(operation))
    return latencies
