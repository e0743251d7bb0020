"""A PostgreSQL server of the tests' own: its own data folder and socket, no network, gone with the process."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import text

from ca_core.kernel.database import Database, Statement
from support.processes import ComponentMissing, required_program, run, start, stop_group, wait_until

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum": "off",
    "jit": "off",
    "max_wal_size": "2GB",
    "log_min_messages": "warning",
}
WAITING = Statement(text("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
_INSTALLED = Path("/usr/lib/postgresql")


class PostgresqlServer:
    """A running server. `url(name)` is what `Database.open` takes."""

    def __init__(self, socket_folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.socket_folder = socket_folder
        self.process = process

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.socket_folder), user="postgres", dbname=database, autocommit=True)

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Makes a database in place of any that has the name, empty or as `template` is; returns its URL.

        Whoever is connected to the template is cut off.
        """
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [template]
            )
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Starts a server in a new folder and stops it at the end. As root it runs as `postgres`, since it refuses root."""
    folder = Path(tempfile.mkdtemp(prefix="citizenid-pg-", dir="/tmp"))  # a socket's path must be short
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user, user)
    data, log = folder / "data", folder / "server.log"
    try:
        as_user = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        initdb = [_program("initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync"]
        run([*as_user, *initdb, "--encoding=UTF8", "--locale=C"], cwd=folder)
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [_program("postgres"), "-D", data, "-k", folder, *options]
        process = start(command, log=log, cwd=folder, user=user, death_signal="INT")
        try:
            server = PostgresqlServer(folder, process)
            wait_until(lambda: _answers(server), what="PostgreSQL", process=process, log=log)
            yield server
        finally:
            stop_group(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> Path:
    """The newest installed major version's program (Debian keeps them off PATH)."""
    versions = sorted(
        (folder for folder in _INSTALLED.glob("*/bin") if re.fullmatch(r"\d+", folder.parent.name)),
        key=lambda folder: int(folder.parent.name),
        reverse=True,
    )
    try:
        return required_program(name, *versions)
    except ComponentMissing as missing:
        raise ComponentMissing(f"PostgreSQL's {name} is not installed; run `make setup`") from missing


def _answers(server: PostgresqlServer) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def somebody_waits(database: Database) -> bool:
    """Whether a connection waits for a lock."""
    with database.read() as tx:
        return bool(tx.all(WAITING))
