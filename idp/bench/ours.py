"""Our own server under test: a country founded in a fresh database, served by processes of its own."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from ca_core.kernel.database import sqlite_url
from ca_core.kernel.rng import system_rng
from idp.bench.errors import BenchFailed
from idp.bench.http_client import Connection
from idp.bench.model import Country, FoundCountry, Options, Plan
from idp.bench.postgresql import DatabaseServer, postgresql
from idp.bench.relying_party import RelyingParty
from idp.bench.server import Program, ServerUnderTest

_READY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A served country."""

    database: str
    country: Country
    server: ServerUnderTest
    party: RelyingParty


@asynccontextmanager
async def our_server(options: Options, found: FoundCountry) -> AsyncIterator[Ours]:
    """Founds a country in a new database, serves it, and stops everything at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="citizenid-bench-")))
        database = stack.enter_context(_database(options.database, folder))
        plan = Plan(
            folder=folder,
            database_url=database.url,
            port=_free_port(),
            citizens=options.concurrency,
            workers=options.workers,
        )
        country = await asyncio.to_thread(found, plan)
        log = folder / "server.log"
        program = stack.enter_context(Program(country.serve, log=log))
        server = ServerUnderTest(origin=country.registration.issuer, pid=program.pid, database_pid=database.pid)
        await _ready(server.origin, program, log)
        party = await RelyingParty.discover(country.registration, rng=system_rng)
        yield Ours(database=database.name, country=country, server=server, party=party)


@contextmanager
def _database(asked: str, folder: Path) -> Iterator[DatabaseServer]:
    if asked == "sqlite":
        yield DatabaseServer(name="SQLite", url=sqlite_url(folder / "citizenid.db"), pid=None)
    elif asked == "postgresql":
        with postgresql() as server:
            yield server
    elif asked.startswith("postgresql+psycopg://"):
        yield DatabaseServer(name="PostgreSQL (given)", url=asked, pid=None)
    else:
        raise BenchFailed("--database is sqlite, postgresql or postgresql+psycopg://...")


async def _ready(origin: str, program: Program, log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and program.running():
        connection = Connection(origin)
        try:
            if (await connection.request("GET", "/.well-known/openid-configuration")).status == 200:
                return
        except BenchFailed:
            await asyncio.sleep(0.05)
        finally:
            connection.close()
    raise BenchFailed(f"the server did not become ready: {log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
