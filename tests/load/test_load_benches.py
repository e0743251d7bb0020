"""Each bench runs to its end on each database and says what the contract asks for. No figure is judged here."""

import json

import pytest

from support.demo import BIN
from support.processes import run

MEMBERS = {
    "name", "commit", "machine", "database", "seconds", "operations", "per_second", "cpu_ms_per_operation", "p50_ms",
    "p99_ms", "peak_rss_mb", "settings", "yardstick", "ratio", "openssl_p256",
}  # fmt: skip


IN_ONE_PROCESS = MEMBERS - {"openssl_p256"}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", ["sso-login", "card-login", "ocsp"])
def test_a_bench_runs(name: str, database: str) -> None:
    short = ["--seconds", "2", "--rounds", "2", "--warm-up", "0.5"]
    printed = run([BIN / "citizenid", "bench", name, "--json", "--database", database, *short], timeout_s=180).stdout
    figures = json.loads(printed)
    assert set(figures) >= MEMBERS
    assert figures["name"] == name
    assert figures["operations"] > 0
    assert figures["yardstick"]["operations"] > 0
    assert ("postgresql" in figures) == (database == "postgresql")
    print(printed)


@pytest.mark.parametrize(
    ("lint", "database"), [("every", "sqlite"), ("template", "sqlite"), ("template", "postgresql")]
)
def test_the_bench_of_issuance_runs(lint: str, database: str) -> None:
    short = ["--lint", lint, "--database", database, "--seconds", "0.5", "--rounds", "1", "--batch", "16"]
    printed = run([BIN / "citizenid", "bench", "issue", "--json", *short], timeout_s=180).stdout
    figures = json.loads(printed)
    assert set(figures) >= IN_ONE_PROCESS
    assert figures["operations"] > 0
    assert figures["settings"]["audit"] == "on"
    assert figures["yardstick"]["operations"] > 0
    print(printed)


def test_the_bench_of_lists_runs() -> None:
    printed = run([BIN / "citizenid", "bench", "crl", "--revoked", "500", "--json"], timeout_s=180).stdout
    figures = json.loads(printed)
    assert set(figures) >= IN_ONE_PROCESS
    assert figures["complete"]["entries"] == 500
    assert figures["check"]["faults"] == []
    assert figures["delta"]["entries"] > 0
    print(printed)
