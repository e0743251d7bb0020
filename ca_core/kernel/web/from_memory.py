"""Answers that lie in memory, given by the HTTP protocol at once: no ASGI scope, no task, no timer for each.

Those cost more than such an answer (docs/adr/0015).
"""

from collections.abc import Callable
from typing import Any, Protocol

from ca_core.kernel.web.holding import HoldingProtocol
from ca_core.kernel.web.known_heads import MAX_KNOWN_BYTES, KnownHeads

ATTRIBUTE = "from_memory"
"""What the outermost ASGI application calls its `FromMemory`, where it has one."""
_END_OF_HEAD = b"\r\n\r\n"
_SECRETS = frozenset((b"authorization", b"cookie", b"proxy-authorization"))


class FromMemory(Protocol):
    """Answers that need no waiting. Called on the event loop with untrusted octets, in no order with anything else."""

    @property
    def heads(self) -> KnownHeads:
        """Of requests that were answered from memory, over all connections."""

    @property
    def max_body_bytes(self) -> int:
        """A larger body is the application's to refuse."""

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether `find` is worth asking. target: the request target as it was sent. Whatever else is in memory."""

    def find(self, method: bytes, target: bytes, body: bytes) -> bytes | None:
        """A 200 answer's octets behind the Date header: header lines with Content-Length, an empty line, the body.

        None: `begin` is asked.
        """

    def begin(self, method: bytes, target: bytes, body: bytes, told: Callable[[bytes], None]) -> bool:
        """Whether such octets are told later, once, on the event loop. False: the application answers."""


class FromMemoryProtocol(HoldingProtocol):
    """Give it to uvicorn as `http`. Holds what memory takes, and asks it when the request is whole.

    A request that comes as one piece, with a head that is known from one that memory answered, is not parsed. What
    memory does not have by then is.
    """

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn's own
        super().connection_made(transport)
        self._memory: FromMemory | None = getattr(self.app, ATTRIBUTE, None) if self._is_plain else None
        self._is_holding = self._memory is not None
        self._answered: list[int] = []

    def data_received(self, data: bytes) -> None:
        memory = self._memory
        if memory is None or not self._is_at_start or len(data) > MAX_KNOWN_BYTES:
            super().data_received(data)
            return
        end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        head = data[:end]
        known = memory.heads.find(head)
        if known is not None and len(data) == end + known[2] and self._is_ready():
            try:
                answer = memory.find(known[0], known[1], data[end:])
            except Exception:  # noqa: BLE001  (it is asked again below, where this is logged)
                answer = None
            if answer is not None:
                self._unset_keepalive_if_required()
                self._request_is_over()
                self._write(200, answer)
                self._rest()
                return
        self._answered.clear()
        super().data_received(data)
        if known is None and self._is_at_start and self._answered == [len(data) - end]:
            self._learn(memory.heads, head, len(data) - end)

    def _learn(self, heads: KnownHeads, head: bytes, size: int) -> None:
        """Not a head with a secret, nor one with a line that ends without CR: with none of those, the first empty line
        is where any parser sees it."""
        has_secret = any(name in _SECRETS for name, _ in self.headers)
        if not has_secret and head.count(b"\n") == head.count(b"\r\n"):
            heads.learn(head, self.parser.get_method(), self.url, size)

    def _bound_of(self, method: bytes, target: bytes) -> int | None:
        memory = self._memory
        return memory.max_body_bytes if memory is not None and memory.takes(method, target) else None

    def _take(self, body: bytes) -> bool:
        answer = None if self._memory is None else self._memory.find(self.parser.get_method(), self.url, body)
        if answer is None:
            return False
        self._answered.append(len(body))
        self._write(200, answer)
        self._rest()
        return True
