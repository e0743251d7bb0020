"""A PostgreSQL server for one bench: its own data folder, on a loopback port, durable as in production."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from idp.bench.errors import BenchFailed
from idp.bench.server import Program

_INSTALLED = Path("/usr/lib/postgresql")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "4GB",
}
_READY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """url: of an empty database. pid: the server's first process; None where the server is not ours to count."""

    name: str
    url: str
    pid: int | None


@contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """Starts a server and stops it at the end. As root it runs as `postgres`, since it refuses root."""
    folder = Path(tempfile.mkdtemp(prefix="citizenid-bench-pg-"))
    try:
        as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            as_user = [_found("setpriv"), "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        binaries = _binaries()
        data = str(folder / "data")
        initdb = [*as_user, str(binaries / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--locale=C"]
        made = subprocess.run(  # noqa: S603 - our own command line
            [*initdb, "--encoding=UTF8"], cwd=folder, capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise BenchFailed(f"initdb: {made.stderr[-500:]}")
        port = _free_port()
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [*as_user, str(binaries / "postgres"), "-D", data, "-k", str(folder), "-p", str(port), *settings]
        with Program(command, log=folder / "server.log") as server:
            _wait_for(port)
            version = (folder / "data" / "PG_VERSION").read_text().strip()
            url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
            yield DatabaseServer(name=f"PostgreSQL {version}", url=url, pid=server.pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    versions = [folder for folder in _INSTALLED.glob("*/bin") if re.fullmatch(r"\d+", folder.parent.name)]
    if versions:
        return max(versions, key=lambda folder: int(folder.parent.name))
    return Path(_found("initdb")).parent


def _found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BenchFailed(f"{name} is not installed; run `make setup`")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    """Until the server takes connections and is past its recovery (PostgreSQL listens only then)."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.2)
                return
        time.sleep(0.05)
    raise BenchFailed("PostgreSQL did not start")
