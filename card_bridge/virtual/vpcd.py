"""A virtual card in vpcd's virtual reader: a TCP client that gives octets for octets.

Each message is a length of two octets, big endian, and that many octets. A message of one octet is the reader's own:
off, on, reset, or the question for the answer to reset, which alone is answered. Closing the socket removes the card.
"""

import logging
import socket
import threading
from types import TracebackType
from typing import Final, Protocol, Self

from card_bridge.virtual.faults import Moment, Removal

log = logging.getLogger(__name__)

FIRST_PORT: Final = 35_963
_POWER_OFF, _POWER_ON, _RESET, _GET_ATR = 0, 1, 2, 4
_RETRY_S: Final = 0.2


class SmartCard(Protocol):
    """What a reader does with a card."""

    @property
    def atr(self) -> bytes: ...

    def reset(self) -> None: ...

    def transmit(self, octets: bytes) -> bytes: ...


class InsertedCard:
    """A card that can be put into a reader and pulled out, driven by its own thread.

    As a context manager it is inserted on entry and removed on exit. A reader that is not there yet, or restarts, is
    tried again until the card is removed.
    """

    def __init__(self, card: SmartCard, port: int, host: str = "127.0.0.1") -> None:
        self._card = card
        self._address = (host, port)
        self._lock = threading.Lock()
        self._wanted = False  # read through `_is_wanted`: another thread changes it
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._connected = threading.Event()
        self._plan: Removal | None = None

    def __enter__(self) -> Self:
        self.insert()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def insert(self) -> None:
        """Put the card in. Returns at once; `wait_inserted` says when the reader has it."""
        with self._lock:
            if self._wanted:
                return
            self._wanted = True
            self._wake.clear()
            self._thread = threading.Thread(target=self._run, name="virtual-card", daemon=True)
            self._thread.start()

    def remove(self) -> None:
        """Pull the card out, whatever it is doing."""
        with self._lock:
            self._wanted = False
            self._wake.set()
            thread, connection = self._thread, self._socket
            self._thread = None
        if connection is not None:
            _shut(connection)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def wait_inserted(self, timeout_s: float = 5) -> bool:
        """Whether the reader has taken the card within this time."""
        return self._connected.wait(timeout_s)

    def wait_removed(self, timeout_s: float = 5) -> bool:
        """Whether a planned removal has happened within this time."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return not self._connected.is_set()

    def plan(self, removal: Removal | None) -> None:
        """Have the card pulled out at a certain APDU. None takes an earlier plan back."""
        self._plan = removal

    @property
    def inserted(self) -> bool:
        return self._connected.is_set()

    def _is_wanted(self) -> bool:
        return self._wanted

    def _run(self) -> None:
        while self._is_wanted():
            try:
                connection = socket.create_connection(self._address, timeout=5)
            except OSError:
                self._wake.wait(_RETRY_S)
                continue
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                with self._lock:
                    if not self._is_wanted():
                        return
                    self._socket = connection
                self._card.reset()
                self._connected.set()
                try:
                    self._serve(connection)
                finally:
                    self._connected.clear()
                    self._card.reset()
                    with self._lock:
                        self._socket = None

    def _serve(self, connection: socket.socket) -> None:
        try:
            while (message := receive(connection)) is not None:
                answer = self._answer(message)
                if answer is None:
                    self._wanted = False
                    return
                if answer:
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError as error:
            log.debug("virtual reader went away: %s", error)

    def _answer(self, message: bytes) -> bytes | None:
        """What goes back: nothing for power and reset, None for a card that is pulled out now."""
        if len(message) == 1:
            if message[0] in (_POWER_OFF, _POWER_ON, _RESET):
                self._card.reset()
            return self._card.atr if message[0] == _GET_ATR else b""
        plan = self._plan
        if plan is not None and plan.strikes(message):
            self._plan = None
            if plan.moment is Moment.AFTER:
                self._card.transmit(message)
            return None
        return self._card.transmit(message)


def receive(connection: socket.socket) -> bytes | None:
    """One message; None when the reader has gone. Raises: OSError."""
    header = _exactly(connection, 2)
    return None if header is None else _exactly(connection, int.from_bytes(header, "big"))


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    received = bytearray()
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            return None
        received += part
    return bytes(received)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("already shut: %s", error)
