"""What a server's processes cost: CPU time and memory, as the kernel counts them."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """cpu_s: user and system time since the start. peak_rss_mb: the sum of each process's highest resident size."""

    cpu_s: float
    peak_rss_mb: float

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(cpu_s=self.cpu_s - earlier.cpu_s, peak_rss_mb=self.peak_rss_mb)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(cpu_s=self.cpu_s + other.cpu_s, peak_rss_mb=max(self.peak_rss_mb, other.peak_rss_mb))


NOTHING = Usage(cpu_s=0.0, peak_rss_mb=0.0)


def usage_of_tree(pid: int) -> Usage:
    """Of a process, its descendants, and those of their children that have ended."""
    cpu_s, peak_kb = 0.0, 0
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{member}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu_s += sum(int(ticks) for ticks in fields[11:15]) / _TICKS  # own and ended children's, user and system
        peak_kb += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return Usage(cpu_s=cpu_s, peak_rss_mb=round(peak_kb / 1024, 1))


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found
