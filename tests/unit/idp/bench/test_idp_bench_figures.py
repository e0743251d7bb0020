"""What a bench adds up, divides and refuses to report."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idp.bench import benches, rounds
from idp.bench.accounting import Usage, tree, usage_of_tree
from idp.bench.cli import bench_app
from idp.bench.errors import BenchFailed
from idp.bench.model import Country, Options, Plan
from idp.bench.report import Report
from idp.bench.rounds import Contestant, Tally, run_rounds
from idp.bench.server import ServerUnderTest
from idp.bench.signatures import _each


def tally(*, operations: int, cpu_s: float, database_cpu_s: float | None = None) -> Tally:
    return Tally(
        seconds=2.0,
        latencies_s=[0.001 * (number + 1) for number in range(operations)],
        usage=Usage(cpu_s=cpu_s, peak_rss_mb=100.0),
        database_usage=None if database_cpu_s is None else Usage(cpu_s=database_cpu_s, peak_rss_mb=50.0),
    )


def report(ours: Tally, theirs: Tally | None) -> Report:
    return Report(
        name="sso-login",
        database="SQLite",
        seconds=2.0,
        settings={"concurrency": 4},
        ours=ours,
        yardstick=None if theirs is None else ("theirs", theirs),
    )


def test_the_report_has_the_contracts_members_and_a_ratio_where_higher_is_better() -> None:
    wire = report(tally(operations=100, cpu_s=0.05), tally(operations=100, cpu_s=0.1)).to_wire()
    assert set(wire) >= {
        "name", "commit", "machine", "database", "seconds", "operations", "per_second", "cpu_ms_per_operation",
        "p50_ms", "p99_ms", "peak_rss_mb", "ratio", "yardstick",
    }  # fmt: skip
    assert wire["cpu_ms_per_operation"] == 0.5
    assert wire["per_second"] == 50.0
    assert (wire["p50_ms"], wire["p99_ms"]) == (51.0, 100.0)
    assert wire["ratio"] == 2.0
    assert json.loads(json.dumps(wire)) == wire


def test_postgresql_is_reported_apart() -> None:
    wire = report(tally(operations=100, cpu_s=0.05, database_cpu_s=0.2), None).to_wire()
    assert wire["cpu_ms_per_operation"] == 0.5
    assert wire["postgresql"] == {"cpu_ms_per_operation": 2.0, "peak_rss_mb": 50.0}
    assert "ratio" not in wire


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    monkeypatch.setattr(rounds, "_round", lambda contestant, seconds: _note(turns, contestant.server.origin))

    async def never() -> None:
        raise AssertionError("the warm-up takes no time here")

    both = [Contestant(server=ServerUnderTest(origin=name, pid=1), persons=[never]) for name in ("a", "b")]
    asyncio.run(run_rounds(both, seconds=1, rounds=3, warm_up_s=0))
    assert turns == ["a", "b"] * 3


async def _note(turns: list[str], name: str) -> None:
    turns.append(name)


def test_one_failed_operation_fails_the_bench() -> None:
    async def refused() -> None:
        raise BenchFailed("token endpoint: 400")

    contestant = Contestant(server=ServerUnderTest(origin="a", pid=os.getpid()), persons=[refused])
    with pytest.raises(ExceptionGroup) as failed:
        asyncio.run(run_rounds([contestant], seconds=0.1, rounds=1, warm_up_s=0))
    assert failed.group_contains(BenchFailed, match="token endpoint")


def test_the_command_says_why_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_country(plan: Plan) -> Country:
        raise BenchFailed("no country")

    async def bench(options: Options, found: object) -> Report:
        """Fails."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_raise())
        raise AssertionError("the group raises")

    async def _raise() -> None:
        raise BenchFailed("the server answered 500")

    monkeypatch.setitem(benches.BENCHES, "sso-login", bench)
    result = CliRunner().invoke(bench_app(no_country), ["sso-login", "--json"])
    assert result.exit_code == 1
    assert "the server answered 500" in result.output


def test_a_process_tree_costs_at_least_what_this_process_did() -> None:
    used = sum(os.times()[:2])
    usage = usage_of_tree(os.getpid())
    assert usage.cpu_s >= used - 0.1
    assert usage.peak_rss_mb > 5
    assert os.getpid() in tree(os.getppid())
    assert Path(f"/proc/{os.getpid()}").exists()


@pytest.mark.parametrize(("text", "seconds"), [("70697.9", 1 / 70697.9), ("0.0000141", 0.0000141)])
def test_openssl_tells_rates_or_seconds(text: str, seconds: float) -> None:
    assert _each(text) == seconds
