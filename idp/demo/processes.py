"""The demo's child processes: the bridge, the virtual card and its reader, each a program of its own."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ca_core.kernel.errors import DomainError

_STOP_S = 5.0


class ChildFailed(DomainError):
    """A child process did not become ready, or ended. detail: which, and the last line it wrote to stderr."""

    code = "child_failed"


class Child:
    """A program that prints one JSON line when it is ready, and runs until it is stopped.

    It stays in the demo's process group, so that whoever ends the group ends all of it.
    """

    def __init__(self, name: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(  # noqa: S603  (our own programs, arguments from our own settings)
                [*arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=dict(environment),
            )

    def ready(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """The ready line's members. Raises: ChildFailed."""
        stdout = self._process.stdout
        if stdout is None:
            raise ChildFailed(f"{self._name} has no output")
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not select.select([stdout], [], [], 0.2)[0]:
                if self._process.poll() is not None:
                    break
                continue
            line = stdout.readline()
            if not line:
                break
            if line.startswith(b"{"):
                threading.Thread(target=_drain, args=(stdout,), daemon=True).start()
                members: dict[str, Any] = json.loads(line)
                return members
        self.stop()
        raise ChildFailed(f"{self._name} did not become ready: {_last_line(self._log)}")

    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Asks it to end, and ends it after five seconds."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


def bridge_program() -> str:
    """The `card-bridge` program that was installed with this one."""
    return str(Path(sys.executable).parent / "card-bridge")


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment and what is added."""
    return {**os.environ, **extra}  # noqa: TID251  (a child's environment, not a setting)


def _drain(stream: Any) -> None:  # noqa: ANN401  (a pipe's reader)
    """Reads on, so that a child that prints never blocks; what it prints is not kept."""
    try:
        while stream.read(65_536):
            pass
    except ValueError:  # closed by stop()
        return


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "no message"
