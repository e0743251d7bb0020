"""One act of the CRL bench in a process of its own: `python -m idp.bench.crl_child FOLDER ACT`, JSON on stdout."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Transaction
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import RevocationReason
from ca_core.revocation.service import RevocationService
from ca_core.status.crl_checker import CrlChecker
from idp.bench import crl_country

_REVOCATIONS = 300


@dataclass
class _One:
    certificate: x509.Certificate
    certificate_id: int
    authority_id: int = 1
    serial: int = 0
    crl_shard: int | None = 3
    derived_from: int | None = None


class _Numbered:
    """Certificates that are found without a look-up: the revocation's own cost is measured."""

    def __init__(self, certificate: x509.Certificate, first: int) -> None:
        self._one = _One(certificate, first)

    def find(self, tx: Transaction, authority_id: int, serial: int) -> _One:
        self._one.certificate_id += 1
        return self._one

    def derived_from(self, tx: Transaction, certificate_id: int) -> tuple[_One, ...]:
        return ()

    def block_key_of(
        self, tx: Transaction, certificate: x509.Certificate, *, reason: str, actor: str, now: datetime
    ) -> None:
        raise AssertionError("the bench's keys are not compromised")


def main() -> None:
    folder, act = Path(sys.argv[1]), sys.argv[2]
    database = crl_country.open_database(folder)
    crls, shards, audit, authority = crl_country.services(folder, database)
    slug = crl_country.SLUG
    log = StatusLog()
    with database.read() as tx:
        head = log.head(tx)

    def complete() -> dict[str, Any]:
        record = crls.publish(slug)
        return {"number": record.number, "entries": record.entries, "size_bytes": record.size_bytes}

    def delta() -> dict[str, Any]:
        record = crls.publish_delta(slug)
        return {"entries": record.entries, "size_bytes": record.size_bytes}

    def check() -> dict[str, Any]:
        found = CrlChecker(database, authority, log, system_clock, shards=shards).check(slug)
        return {"entries": found.entries, "shards": found.shards, "faults": found.faults}

    def revoke() -> dict[str, Any]:
        certificate = authority.authority.certificate
        service = RevocationService(database, _Numbered(certificate, head), audit, system_clock)
        spent = []
        for number in range(_REVOCATIONS):
            begun = time.process_time()
            service.revoke(1, (1 << 120) + head + number, RevocationReason.SUPERSEDED, "operator:bench")
            spent.append((time.process_time() - begun) * 1000)
        return {"operations": _REVOCATIONS, "p50_cpu_ms": round(statistics.median(spent), 4)}

    if act == "shards":
        if shards.current(1) is None:
            shards.introduce(
                1, slug, count=crl_country.SHARDS, publication_url=crl_country.PUBLICATION_URL, actor="operator:bench"
            )
    acts: dict[str, Callable[[], dict[str, Any]]] = {
        "complete": complete,
        "shards": complete,
        "delta": delta,
        "check": check,
        "revoke": revoke,
    }
    print(json.dumps(measured(acts[act])))


def measured(act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the act returns, with its CPU time and its highest resident size above the idle process."""
    idle_kb = _status_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    begun, cpu = time.perf_counter(), time.process_time()
    result = act()
    return {
        **result,
        "cpu_ms": round((time.process_time() - cpu) * 1000, 1),
        "seconds": round(time.perf_counter() - begun, 3),
        "idle_rss_mb": round(idle_kb / 1024, 1),
        "above_idle_mb": round((_status_kb("VmHWM") - idle_kb) / 1024, 1),
        "peak_rss_mb": round(_status_kb("VmHWM") / 1024, 1),
    }


def _status_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
