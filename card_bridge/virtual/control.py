"""Hands for a virtual card that runs in another process: a Unix socket in the card's folder, a line a command.

`insert`, `remove`, `state`, and `remove-at INSTRUCTION|any [COUNT] [before|after]`, which pulls the card out in the
middle of its work. Each is answered with `ok`, `inserted`, `removed` or `error REASON`.
"""

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from card_bridge.virtual.faults import Moment, Removal
from card_bridge.virtual.vpcd import InsertedCard

SOCKET_NAME: Final = "control"
_LINE_LIMIT: Final = 256


def tell(folder: Path, command: str, timeout_s: float = 10) -> str:
    """The answer of the card that runs with this folder. Raises: OSError when none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, _address(folder) as address:
        connection.settimeout(timeout_s)
        connection.connect(address)
        connection.sendall(command.encode() + b"\n")
        with connection.makefile("rb") as lines:
            return lines.readline(_LINE_LIMIT).decode().strip()


@contextmanager
def controlled(card: InsertedCard, folder: Path) -> Iterator[None]:
    """Obeys commands in this folder until the block ends."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline(_LINE_LIMIT).decode(errors="replace")
            self.wfile.write(obey(card, line).encode() + b"\n")

    (folder / SOCKET_NAME).unlink(missing_ok=True)
    with _address(folder) as address, socketserver.UnixStreamServer(address, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="virtual-card-control", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            (folder / SOCKET_NAME).unlink(missing_ok=True)


def obey(card: InsertedCard, line: str) -> str:
    """Carry out one command; the answer."""
    match line.split():
        case ["insert"]:
            card.insert()
            return "ok"
        case ["remove"]:
            card.remove()
            return "ok"
        case ["state"]:
            return "inserted" if card.inserted else "removed"
        case ["remove-at", where, *rest] if len(rest) <= 2:
            try:
                card.plan(_removal(where, *rest))
            except ValueError:
                return "error usage: remove-at INSTRUCTION|any [COUNT] [before|after]"
            return "ok"
        case _:
            return "error unknown command"


def _removal(where: str, count: str = "1", moment: str = "before") -> Removal:
    instruction = None if where == "any" else int(where, 16)
    return Removal(count=int(count), instruction=instruction, moment=Moment(moment))


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's name by way of the open folder: a whole path may be too long for a socket."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
