"""`citizenid bench crl`: making the complete CRL, its shards and a delta, beside `openssl ca -gencrl`."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from idp.bench import crl_country
from idp.bench.errors import BenchFailed
from idp.bench.report import commit, machine

COUNTRY = 412_404
"""The deployed second generation's list in March 2026."""
SMALL = 17_000
_OPENSSL = """[ca]
default_ca = bench
[bench]
database = {folder}/index.txt
crlnumber = {folder}/crlnumber
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 1
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
"""


def crl_bench(
    revoked: Annotated[int, typer.Option(min=1, help="revoked certificates")] = COUNTRY,
    yardstick: Annotated[bool, typer.Option(help="run `openssl ca -gencrl` over the same revocations")] = True,
    check: Annotated[bool, typer.Option(help="prove the lists against the database as well")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """The complete CRL's CPU and memory; delta and all shards beside; a revocation's cost at 17,000 and at N."""
    try:
        wire = run(revoked, yardstick=yardstick, check=check)
    except BenchFailed as error:
        print(f"bench: {error.detail}", file=sys.stderr)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps(wire))
    else:
        _show(wire)


def run(revoked: int, *, yardstick: bool, check: bool) -> dict[str, Any]:
    """The report's members. Raises: BenchFailed."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="citizenid-bench-") as place:
        small, folder = Path(place) / "small", Path(place) / "country"
        for where, count in ((small, SMALL), (folder, revoked)):
            where.mkdir()
            crl_country.found(where, count)
        complete = _child(folder, "complete")
        beside = _openssl(folder) if yardstick else None
        parts = {name: _child(folder, name) for name in ("shards", "revoke", "delta")}
        small_cost = _child(small, "revoke")["p50_cpu_ms"]
        proof = _child(folder, "check") if check else None
    if complete["entries"] != revoked or (proof is not None and proof["faults"]):
        raise BenchFailed(f"a list that is not right: {complete['entries']} entries, {proof}")
    wire = {
        "name": "crl",
        "commit": commit(),
        "machine": machine(),
        "database": "sqlite",
        "seconds": round(time.perf_counter() - begun, 1),
        "operations": 1,
        "per_second": round(1 / complete["seconds"], 3),
        "cpu_ms_per_operation": complete["cpu_ms"],
        "p50_ms": complete["seconds"] * 1000,
        "p99_ms": complete["seconds"] * 1000,
        "peak_rss_mb": complete["above_idle_mb"],
        "settings": {
            "revoked": revoked,
            "shards": crl_country.SHARDS,
            "key": "rsa4096",
            "log": "loaded in bulk; certificates are found without a look-up",
        },
        "complete": complete,
        "complete_with_all_shards": parts["shards"],
        "delta": parts["delta"],
        "revocation": {
            "p50_cpu_ms_at_17000": small_cost,
            f"p50_cpu_ms_at_{revoked}": parts["revoke"]["p50_cpu_ms"],
        },
    }
    if proof is not None:
        wire["check"] = proof
    if beside is not None:
        wire["yardstick"] = beside
        wire["ratio"] = round(beside["cpu_ms_per_operation"] / complete["cpu_ms"], 3)
    return wire


def _child(folder: Path, act: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "idp.bench.crl_child", str(folder), act]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    if ended.returncode != 0:
        raise BenchFailed(f"{act}: {ended.stderr[-400:]}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _openssl(folder: Path) -> dict[str, Any]:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BenchFailed("openssl is not installed; run `make setup`")
    config = folder / "openssl.cnf"
    config.write_text(_OPENSSL.format(folder=folder))
    (folder / "crlnumber").write_text("01\n")
    command = [openssl, "ca", "-gencrl", "-config", str(config), "-out", str(folder / "openssl.crl")]
    begun = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - fixed
        said = "" if process.stderr is None else process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchFailed(f"openssl ca -gencrl: {said[-400:]}")
    seconds = time.perf_counter() - begun
    return {
        "name": "openssl ca -gencrl",
        "operations": 1,
        "per_second": round(1 / seconds, 3),
        "cpu_ms_per_operation": round((usage.ru_utime + usage.ru_stime) * 1000, 1),
        "p50_ms": round(seconds * 1000, 1),
        "p99_ms": round(seconds * 1000, 1),
        "peak_rss_mb": round(usage.ru_maxrss / 1024, 1),
    }


def _show(wire: dict[str, Any]) -> None:
    revoked = wire["settings"]["revoked"]
    table = Table("", "CPU ms", "MB above idle", "entries", title=f"{revoked} revoked, {wire['machine']}")
    for name in ("complete", "complete_with_all_shards", "delta", "check"):
        if name in wire:
            row = wire[name]
            table.add_row(name, str(row["cpu_ms"]), str(row["above_idle_mb"]), str(row["entries"]))
    if "yardstick" in wire:
        beside = wire["yardstick"]
        table.add_row(beside["name"], str(beside["cpu_ms_per_operation"]), str(beside["peak_rss_mb"]), str(revoked))
    console = Console()
    console.print(table)
    console.print(f"one revocation, CPU ms: {wire['revocation']}")
    if "ratio" in wire:
        console.print(f"ratio {wire['ratio']} (CPU of the yardstick by ours)")
