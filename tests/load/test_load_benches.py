"""Each bench runs to its end on each database and says what the contract asks for. No figure is judged here."""

import json

import pytest

from support.demo import BIN
from support.processes import run

MEMBERS = {
    "name", "commit", "machine", "database", "seconds", "operations", "per_second", "cpu_ms_per_operation", "p50_ms",
    "p99_ms", "peak_rss_mb", "settings", "yardstick", "ratio", "openssl_p256",
}  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", ["sso-login", "card-login"])
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
    ("name", "options", "members"),
    [
        ("crl", ("--revoked", "2000"), {"complete", "complete_with_all_shards", "delta", "revocation", "check"}),
        ("issue", ("--seconds", "0.5", "--rounds", "1"), {"ratio_to_raw_signatures", "cores", "beside"}),
        ("ocsp", ("--seconds", "0.5", "--rounds", "1", "--warm-up", "0"), {"fixed_octets_by_asgi", "openssl_ocsp"}),
    ],
)
def test_a_bench_of_the_certification_authority_runs(name: str, options: tuple[str, ...], members: set[str]) -> None:
    printed = run([BIN / "citizenid", "bench", name, "--json", *options], timeout_s=180).stdout
    figures = json.loads(printed)
    assert set(figures) >= members | {"name", "commit", "machine", "database", "yardstick", "ratio"}
    assert figures["operations"] > 0
    assert figures["yardstick"]["operations"] > 0
    if name == "crl":
        assert (figures["complete"]["entries"], figures["check"]["faults"]) == (2_000, [])
    print(printed)
