"""`citizenid bench NAME`."""

import asyncio
import json
import sys
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from idp.bench.benches import BENCHES, Bench
from idp.bench.errors import BenchFailed
from idp.bench.model import FoundCountry, Options

DEFAULTS = Options()
HELP = "Figures, from real server processes on this machine, beside a yardstick in the same run."


def bench_app(found: FoundCountry) -> typer.Typer:
    """The command group; `found` makes the country that its servers serve."""
    app = typer.Typer(help=HELP, no_args_is_help=True)
    for name, bench in BENCHES.items():
        _add(app, name, bench, found)
    return app


def _add(app: typer.Typer, name: str, bench: Bench, found: FoundCountry) -> None:
    @app.command(name, help=(bench.__doc__ or "").partition("\n")[0])
    def command(
        database: Annotated[
            str, typer.Option(help="sqlite, postgresql (a server of the bench's own), or an empty database's URL")
        ] = DEFAULTS.database,
        seconds: Annotated[float, typer.Option(min=0.5, help="measured, for each contestant")] = DEFAULTS.seconds,
        rounds: Annotated[int, typer.Option(min=1, help="turns that each contestant takes")] = DEFAULTS.rounds,
        concurrency: Annotated[int, typer.Option(min=1, max=64, help="persons at once")] = DEFAULTS.concurrency,
        workers: Annotated[int, typer.Option(min=1, max=64, help="our server's processes")] = DEFAULTS.workers,
        warm_up: Annotated[float, typer.Option(min=0, help="seconds that do not count")] = DEFAULTS.warm_up_s,
        yardstick: Annotated[bool, typer.Option(help="run it beside its yardstick")] = True,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    ) -> None:
        options = Options(
            database=database,
            seconds=seconds,
            rounds=rounds,
            concurrency=concurrency,
            workers=workers,
            warm_up_s=warm_up,
            yardstick=yardstick,
        )
        wire = _run(bench, options, found)
        if as_json:
            print(json.dumps(wire))
        else:
            _show(wire)


def _run(bench: Bench, options: Options, found: FoundCountry) -> dict[str, Any]:
    """The report's members; exit status 1, with the reason on stderr, where there is none."""
    reason = ""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_reported(bench, options, found))
        except* BenchFailed as failed:
            reason = _first(failed)
    print(f"bench: {reason}", file=sys.stderr)
    raise typer.Exit(1)


async def _reported(bench: Bench, options: Options, found: FoundCountry) -> dict[str, Any]:
    return (await bench(options, found)).to_wire()


def _first(group: BaseExceptionGroup[BenchFailed]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _show(wire: dict[str, Any]) -> None:
    columns = {
        "per_second": "a second",
        "cpu_ms_per_operation": "CPU ms",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "peak_rss_mb": "peak MB",
    }
    title = f"{wire['name']} on {wire['database']}, {wire['commit']}, {wire['machine']}"
    table = Table("", *columns.values(), title=title)
    table.add_row("ours", *(str(wire[column]) for column in columns))
    beside = wire.get("yardstick")
    if beside is not None:
        table.add_row(beside["name"], *(str(beside[column]) for column in columns))
    console = Console()
    console.print(table)
    if "ratio" in wire:
        console.print(f"ratio {wire['ratio']} (operations a CPU second, ours by the yardstick's)")
    console.print(f"settings {wire['settings']}; floor {wire['openssl_p256']}; PostgreSQL {wire.get('postgresql')}")
