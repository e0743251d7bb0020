"""`ocsp`: POST and GET over kept-alive connections, 90 % good, 9 % revoked, 1 % unknown."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from socket import socket

from cryptography.x509 import ocsp

from idp.bench.errors import BenchFailed
from idp.bench.http_client import Connection
from idp.bench.model import FoundCountry, Options
from idp.bench.ocsp_country import Asked, Expected, OcspCountry
from idp.bench.openssl_ocsp import openssl_ocsp
from idp.bench.ours import our_server
from idp.bench.report import Figures, Report
from idp.bench.rounds import Contestant, Operation, Tally, run_rounds
from idp.bench.server import Program, ServerUnderTest
from idp.bench.signatures import p256_floor

_ROUND = 100
_IDLE_S = 4
_READ_EVERY = 25
"""Of so many answers the client reads one as a whole; of the others the HTTP status and the size."""
_TYPE = (("Content-Type", "application/ocsp-request"),)


async def bench_ocsp(options: Options, found: FoundCountry) -> Report:
    """OCSP by POST and GET, beside fixed octets from the same server (both ways), and beside `openssl ocsp`."""
    country = OcspCountry(found=found)
    with tempfile.TemporaryDirectory(prefix="citizenid-openssl-") as name:
        folder = Path(name)
        async with our_server(options, country) as ours:
            server = ours.server
            contestants = [Contestant(server=server, persons=_persons(server, country, options))]
            if not options.yardstick:
                return await _report(options, ours.database, contestants)
            known = (*country.good, *country.revoked)
            if country.issuer is None:
                raise BenchFailed("no issuer")
            size = len(await _answer(Connection(server.origin), country.good[0], get=False))
            memory, asgi = (_fixed_octets(folder, size, way) for way in ("memory", "asgi"))
            with (
                memory as fixed,
                asgi as fixed_by_app,
                openssl_ocsp(folder, country.issuer, known, _free_port()) as openssl,
            ):
                contestants += [
                    Contestant(server=fixed, persons=_persons(fixed, country, options, read=False)),
                    Contestant(server=fixed_by_app, persons=_persons(fixed_by_app, country, options, read=False)),
                    Contestant(server=openssl, persons=_persons(openssl, country, options, is_openssl=True)),
                ]
                return await _report(options, ours.database, contestants)


@contextmanager
def _fixed_octets(folder: Path, size: int, way: str) -> Iterator[ServerUnderTest]:
    command = [sys.executable, "-m", "idp.bench.fixed_server", str(_free_port()), str(size), way]
    with Program(command, log=folder / f"fixed-{way}.log") as program:
        yield ServerUnderTest(origin=program.ready_line()["origin"], pid=program.pid)


async def _idle_cpu_ms(server: ServerUnderTest) -> float:
    """What a second costs the server that nobody asks anything: the jobs of all its roles."""
    before = server.usage()
    await asyncio.sleep(_IDLE_S)
    return round((server.usage() - before).cpu_s * 1000 / _IDLE_S, 1)


async def _report(options: Options, database: str, contestants: list[Contestant]) -> Report:
    await run_rounds(contestants, seconds=options.seconds, rounds=options.rounds, warm_up_s=options.warm_up_s)
    idle_ms = await _idle_cpu_ms(contestants[0].server)
    ours, *beside = [contestant.tally for contestant in contestants]
    extra: dict[str, object] = {"idle_cpu_ms_per_second": idle_ms, "openssl_p256": p256_floor(signed=1, verified=0)}
    if beside:
        extra["fixed_octets_by_asgi"] = _beside(ours, beside[1])
        extra["openssl_ocsp"] = _beside(ours, beside[2])
    settings: dict[str, int | float | str] = {
        "concurrency": options.concurrency,
        "workers": options.workers,
        "rounds": options.rounds,
        "role": "all",
        "mix": "90 % good, 9 % revoked, 1 % unknown (signed live); POST and GET in turns",
    }
    yardstick: tuple[str, Tally] | None = (
        ("fixed octets, the same server (in the protocol)", beside[0]) if beside else None
    )
    return Report(
        name="ocsp",
        database=database,
        seconds=ours.seconds,
        settings=settings,
        ours=ours,
        yardstick=yardstick,
        extra=extra,
    )


def _beside(ours: Tally, other: Tally) -> dict[str, object]:
    ratio = round(other.cpu_ms_per_operation / ours.cpu_ms_per_operation, 2)
    return {**Figures.of(other).to_wire(), "ratio": ratio}


def _persons(
    server: ServerUnderTest, country: OcspCountry, options: Options, *, read: bool = True, is_openssl: bool = False
) -> list[Operation]:
    """As many as are asked for; one alone for `openssl ocsp`, which serves one connection at a time."""
    return [
        _person(server, country, offset=number * 7, read=read, is_openssl=is_openssl)
        for number in range(1 if is_openssl else options.concurrency)
    ]


def _person(server: ServerUnderTest, country: OcspCountry, *, offset: int, read: bool, is_openssl: bool) -> Operation:
    """One client on one connection: of a hundred questions in a row, ninety good, nine revoked, one unknown.

    `openssl ocsp` takes a GET's whole path for the request.
    """
    connection = Connection(server.origin)
    good, revoked = cycle(country.good[offset:] + country.good[:offset]), cycle(country.revoked)
    count = 0

    async def operation() -> None:
        nonlocal count
        place = count % _ROUND
        asked = country.unknown() if place == _ROUND - 1 else next(revoked) if place % 11 == 5 else next(good)
        octets = await _answer(connection, asked, get=count % 2 == 1, path="" if is_openssl else "/pki/ocsp")
        if read and (count % _READ_EVERY == 0 or asked.expected is Expected.UNKNOWN):
            _verify(octets, asked)
        count += 1

    return operation


async def _answer(connection: Connection, asked: Asked, *, get: bool, path: str = "/pki/ocsp") -> bytes:
    if get:
        answer = await connection.request("GET", f"{path}/{asked.in_path}")
    else:
        answer = await connection.request("POST", path or "/", headers=_TYPE, body=asked.request)
    if answer.status != 200 or len(answer.body) < 100:
        raise BenchFailed(f"ocsp: {answer.status}, {len(answer.body)} octets")
    return answer.body


def _verify(octets: bytes, asked: Asked) -> None:
    said = ocsp.load_der_ocsp_response(octets)
    serial = ocsp.load_der_ocsp_request(asked.request).serial_number
    if said.serial_number != serial or said.certificate_status.name.lower() != asked.expected.value:
        raise BenchFailed(f"ocsp: {said.certificate_status.name} where {asked.expected} is right")


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
