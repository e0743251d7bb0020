"""Several applications in one process, each on its port of the loopback interface, until a signal ends them."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from ca_core.kernel.web.direct_protocol import DirectProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An application, where it listens, and its TLS if it has any."""

    app: ASGIApp
    port: int
    tls: ssl.SSLContext | None = None


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the sites end together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_sites(sites: list[Site], ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT; `ready` is called once every site answers."""
    servers = [_Server(_config(site)) for site in sites]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with asyncio.TaskGroup() as group:
        for server, site in zip(servers, sites, strict=True):
            group.create_task(server.serve(sockets=_loopback_sockets(site.port)))
        while not all(server.started for server in servers):
            await asyncio.sleep(0.02)
        ready()


def _config(site: Site) -> uvicorn.Config:
    config = uvicorn.Config(
        site.app,
        loop="none",
        http=DirectProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    if site.tls is not None:
        config.load()
        config.ssl = site.tls
    return config


def _loopback_sockets(port: int) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 and, where there is IPv6, on ::1: browsers try both for localhost."""
    found = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
        except OSError:
            if family is socket.AF_INET:
                raise
            continue
        listening.set_inheritable(True)
        found.append(listening)
    return found
