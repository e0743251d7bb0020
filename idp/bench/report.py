"""One bench's figures as one JSON object, and for people."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from idp.bench.rounds import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one contestant did. cpu_ms_per_operation: its server's processes only, PostgreSQL's apart."""

    operations: int
    per_second: float
    cpu_ms_per_operation: float
    cpu_ms_per_round: list[float]
    p50_ms: float
    p99_ms: float
    peak_rss_mb: float

    @classmethod
    def of(cls, tally: Tally) -> "Figures":
        return cls(
            operations=tally.operations,
            per_second=round(tally.operations / tally.seconds, 1),
            cpu_ms_per_operation=round(tally.cpu_ms_per_operation, 3),
            cpu_ms_per_round=tally.cpu_ms_per_round,
            p50_ms=round(tally.quantile_ms(0.5), 2),
            p99_ms=round(tally.quantile_ms(0.99), 2),
            peak_rss_mb=tally.usage.peak_rss_mb,
        )

    def to_wire(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A bench's result. yardstick: name and figures of what it ran beside; extra: what this bench adds."""

    name: str
    database: str
    seconds: float
    settings: Mapping[str, int | float | str]
    ours: Tally
    yardstick: tuple[str, Tally] | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """`ratio`: operations a CPU second, ours divided by the yardstick's; above 1, ours costs less."""
        wire: dict[str, Any] = {
            "name": self.name,
            "commit": commit(),
            "machine": machine(),
            "database": self.database,
            "seconds": round(self.seconds, 1),
            **Figures.of(self.ours).to_wire(),
            "settings": dict(self.settings),
        }
        if self.ours.database_usage is not None:
            spent_ms = self.ours.database_usage.cpu_s * 1000 / max(self.ours.operations, 1)
            wire["postgresql"] = {
                "cpu_ms_per_operation": round(spent_ms, 3),
                "peak_rss_mb": self.ours.database_usage.peak_rss_mb,
            }
        if self.yardstick is not None:
            name, tally = self.yardstick
            wire["yardstick"] = {"name": name, **Figures.of(tally).to_wire()}
            wire["ratio"] = round(tally.cpu_ms_per_operation / self.ours.cpu_ms_per_operation, 3)
        return {**wire, **self.extra}


def commit() -> str:
    """The commit of the source that runs, with "+" where it was changed since; "unknown" outside a repository."""
    folder = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def machine() -> str:
    """Processor, cores, kernel, Python: what a figure means nothing without."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (line.partition(":")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(names, model).strip()
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
