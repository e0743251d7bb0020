"""Binds the loopback addresses, and nothing else, and serves on them."""

import errno
import logging
import socket
import sys
from collections.abc import Callable, Sequence

import uvicorn
from starlette.types import ASGIApp

from card_bridge.errors import ConfigurationError

log = logging.getLogger(__name__)
BACKLOG = 64
FREE_PORT_TRIES = 20
NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def bind_loopback(port: int) -> tuple[int, list[socket.socket]]:
    """(port, sockets) on 127.0.0.1 and, where the machine has IPv6, on ::1; port 0 takes one that is free on both.

    If ::1 is taken by somebody else the port is refused: `localhost` may lead there, and the page would not know.
    Raises: ConfigurationError.
    """
    for _ in range(FREE_PORT_TRIES):
        first: socket.socket | None = None
        try:
            first = _bind(socket.AF_INET, "127.0.0.1", port)
            chosen = int(first.getsockname()[1])
            second = _bind_ipv6(chosen)
        except OSError as error:
            if first is not None:
                first.close()
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue
            raise ConfigurationError(f"port {port} cannot be bound on loopback ({error.strerror})") from error
        return chosen, [first] if second is None else [first, second]
    raise ConfigurationError("no port is free on 127.0.0.1 and ::1")


def serve(app: ASGIApp, sockets: Sequence[socket.socket], *, ready: Callable[[], None]) -> None:
    """Serve until a signal ends it. `ready` is called once when connections are accepted."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=16_384,
        limit_concurrency=64,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
    )
    _Server(config, ready).run(sockets=list(sockets))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _bind_ipv6(port: int) -> socket.socket | None:
    if not socket.has_ipv6:
        return None
    try:
        return _bind(socket.AF_INET6, "::1", port)
    except OSError as error:
        if error.errno in NO_IPV6:
            log.info("this machine has no ::1; serving on 127.0.0.1 alone")
            return None
        raise


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
