"""A server that is measured: a program of its own, its address and its processes."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from idp.bench.accounting import Usage, usage_of_tree
from idp.bench.errors import BenchFailed

_READY_S = 60.0
_STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUnderTest:
    """Where requests go, and the process whose tree is charged for them.

    database_pid: PostgreSQL's first process, reported apart.
    """

    origin: str
    pid: int
    database_pid: int | None = None

    def usage(self) -> Usage:
        return usage_of_tree(self.pid)

    def database_usage(self) -> Usage | None:
        return None if self.database_pid is None else usage_of_tree(self.database_pid)


class Program:
    """A program in a process group of its own, which is stopped at the end of the `with` block."""

    def __init__(self, command: Sequence[str], *, log: Path) -> None:
        self._command = list(command)
        self._log = log

    def __enter__(self) -> "Program":
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - our own command lines
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def ready_line(self) -> dict[str, Any]:
        """The first line of JSON that it prints. Raises: BenchFailed, with the end of its log."""
        stdout = self._process.stdout
        deadline = time.monotonic() + _READY_S
        while stdout is not None and time.monotonic() < deadline:
            if select.select([stdout], [], [], 0.2)[0]:
                line = stdout.readline()
                if not line:
                    break
                if line.startswith(b"{"):
                    members: dict[str, Any] = json.loads(line)
                    return members
            elif self._process.poll() is not None:
                break
        raise BenchFailed(f"{self._command[0]} did not become ready: {self._log.read_text(errors='replace')[-2000:]}")
