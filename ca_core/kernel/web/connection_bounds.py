"""How many connections a process holds open at once, and how long one whose peer reads nothing."""

import asyncio
import fcntl
import resource
import socket
import struct
import termios
from collections import Counter
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger(__name__)
MAX_CONNECTIONS = 4_096
RESERVED_FILES = 128
"""Of the files that a process may open: for databases, keys, lists and logs."""
WRITE_TIMEOUT_S = 30.0
_LOOKS = 3
_TCP_INFO_BYTES, _BYTES_ACKED_AT = 136, 120  # struct tcp_info of linux/tcp.h
_LOG_EVERY_S = 10.0


class OpenConnections:
    """Counts what is open, and says which further connection may be. Used by one event loop.

    per_address: at most so many of one peer's address; None for no such bound, as behind a proxy, whose address all
    have. Whatever `limit` is, it stays below what the process may open of files.
    """

    def __init__(self, limit: int = MAX_CONNECTIONS, per_address: int | None = None) -> None:
        self.bound(limit, per_address)
        self.count = 0
        self._by_address: Counter[str] = Counter()
        self._told_at = float("-inf")
        self._untold = 0

    def bound(self, limit: int, per_address: int | None) -> None:
        """From now on; what is open already stays."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = limit if files == resource.RLIM_INFINITY else max(files - RESERVED_FILES, 1)
        self.limit = min(limit, room)
        self.per_address = per_address

    def open(self, address: str) -> bool:
        """Whether there is room for one more. If so, it is counted, until `close`."""
        if self.count >= self.limit:
            return False
        if self.per_address is not None and self._by_address.get(address, 0) >= self.per_address:
            return False
        self.count += 1
        self._by_address[address] += 1
        return True

    def close(self, address: str) -> None:
        """One that was open is no more."""
        self.count -= 1
        self._by_address[address] -= 1
        if self._by_address[address] == 0:
            del self._by_address[address]

    def tell(self, why: str, now: float) -> None:
        """A line in the log for an end that was made of a connection; of many within ten seconds one, with their number
        since the one before."""
        self._untold += 1
        if now - self._told_at >= _LOG_EVERY_S:
            log.warning("connections_ended", latest=why, ended=self._untold, open=self.count, limit=self.limit)
            self._told_at, self._untold = now, 0


PROCESS = OpenConnections()
"""This process's, over all that it serves."""


class ConnectionBoundsProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 on at most so many connections; one too many is closed before anything of it is read.

    A connection on which octets wait that its peer does not take ends after the write timeout, also where it was
    closed already and only waits for them to go out; that of a peer who reads slowly goes on. Under TLS a connection is
    counted once its handshake is done.
    """

    _open_connections = PROCESS
    _write_timeout_s = WRITE_TIMEOUT_S

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn's own
        self._is_counted = False
        self._taken_bytes = self._looks_in_vain = 0
        self._look: asyncio.TimerHandle | None = None
        self._address = _address_of(transport)
        if not self._open_connections.open(self._address):
            self.transport = transport
            self._open_connections.tell("too_many", self.loop.time())
            transport.abort()
            return
        self._is_counted = True
        super().connection_made(transport)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._is_counted:
            self._is_counted = False
            self._open_connections.close(self._address)
            super().connection_lost(exc)

    def _look_later(self) -> None:
        self._look = self.loop.call_later(self._write_timeout_s / _LOOKS, self._look_at_what_waits)

    def _look_at_what_waits(self) -> None:
        waiting, taken = _waiting_and_taken(self.transport)
        self._looks_in_vain = self._looks_in_vain + 1 if waiting and taken == self._taken_bytes else 0
        self._taken_bytes = taken
        if self._looks_in_vain < _LOOKS:
            self._look_later()
            return
        self._look = None
        self._open_connections.tell("reads_nothing", self.loop.time())
        self.transport.abort()


def _waiting_and_taken(transport: asyncio.Transport) -> tuple[int, int]:
    """Octets that wait here and in the kernel, and those that the peer's kernel has taken since the beginning.

    A peer that reads slowly takes little at a time, which cannot be seen by what waits here alone: the kernel asks for
    more only when a third of its own buffer is empty.
    """
    waiting, connection = transport.get_write_buffer_size(), transport.get_extra_info("socket")
    if connection is None:
        return waiting, 0
    (unsent,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    (taken,) = struct.unpack_from("Q", told, _BYTES_ACKED_AT)
    return waiting + unsent, taken


def _address_of(transport: Any) -> str:  # noqa: ANN401 - as uvicorn's own
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
