"""Child processes that never outlive the test that started them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

Command = Sequence[object]
"""Strings and paths, mixed; each is turned into a string."""


class ComponentMissing(AssertionError):
    """A program that the tests need is not installed. A failure, not a reason to skip: `make setup` installs it."""


def required_program(name: str, *folders: Path) -> Path:
    """The path of a program, looked for in `folders` first and then on PATH."""
    for folder in folders:
        candidate = folder / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which(name)
    if found is None:
        raise ComponentMissing(f"{name} is not installed; run `make setup`")
    return Path(found)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(
    command: Command,
    *,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 60,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end. Its own process group goes with it at a time-out; a bad status shows its output."""
    argv = [str(part) for part in command]
    data = stdin.decode() if isinstance(stdin, bytes) else stdin
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(data, timeout=timeout_s)
        except BaseException:
            stop_group(process, grace_s=1)
            raise
    if check and process.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: exit {process.returncode}\n{out[-2000:]}\n{err[-4000:]}")
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def start(
    command: Command,
    *,
    log: Path,
    stdout: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    death_signal: str = "TERM",
) -> subprocess.Popen[bytes]:
    """Starts a program in its own session; the kernel signals it when this process dies, however that happens.

    Both its streams go to `log`, unless `stdout` says PIPE. With `user`, it runs as that one (for root only).
    """
    prefix = [str(required_program("setpriv")), "--pdeathsig", death_signal]
    if user is not None:
        prefix += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    with log.open("ab") as sink:
        return subprocess.Popen(
            [*prefix, "--", *(str(part) for part in command)],
            stdin=subprocess.DEVNULL,
            stdout=sink if stdout is None else stdout,
            stderr=sink,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
        )


def stop_group(process: subprocess.Popen[bytes] | subprocess.Popen[str], *, grace_s: float = 10) -> int:
    """Ends a process and all of its group: SIGTERM, `grace_s` to obey, then SIGKILL. Returns its exit status."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    status = process.wait(5)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return status


@contextmanager
def started(
    command: Command,
    *,
    log: Path,
    stdout: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace_s: float = 10,
) -> Iterator[subprocess.Popen[bytes]]:
    """`start`, and the whole group stopped at the end of the block."""
    process = start(command, log=log, stdout=stdout, env=env, cwd=cwd)
    try:
        yield process
    finally:
        stop_group(process, grace_s=grace_s)


def wait_until(
    ready: Callable[[], bool],
    *,
    what: str,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
    timeout_s: float = 30,
) -> None:
    """Returns once `ready()` is true; fails when the time is up or `process` has ended, with the end of its log."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-3000:] if log is not None and log.exists() else ""
            raise AssertionError(f"{what}: {'the process ended' if ended else 'time is up'}\n{tail}")
        time.sleep(0.02)


def accepts_connections(port: int) -> bool:
    """True when something listens on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
