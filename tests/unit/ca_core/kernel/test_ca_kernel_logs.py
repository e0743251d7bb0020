"""Log lines that cannot be written."""

import subprocess
import sys
from pathlib import Path

CHILD = """
import logging, os, structlog
from ca_core.kernel.logs import configure_logs
configure_logs()
for number in range(3):
    structlog.get_logger().warning("one", text="x" * 5_000)
    logging.getLogger("another").warning("y" * 5_000)
print("went on", flush=True)
os._exit(0)
"""


def run(stderr: int | object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        stderr=stderr,  # type: ignore[arg-type]  # a file or a descriptor
        text=True,
        check=False,
        timeout=60,
    )


def test_they_are_on_stderr() -> None:
    done = run(subprocess.PIPE)
    assert (done.stdout, done.stderr.count('"event": "one"')) == ("went on\n", 3)


def test_a_full_disk_stops_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        done = run(full)
    assert (done.returncode, done.stdout) == (0, "went on\n")
