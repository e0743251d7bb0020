"""Answers that lie in memory, given by the HTTP protocol at once: no ASGI scope, no task, no timer for each.

Those cost more than such an answer (docs/adr/0015).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.server import ServerState

from ca_core.kernel.web.holding import HoldingProtocol

ATTRIBUTE = "from_memory"
"""What the outermost ASGI application calls its `FromMemory`, where it has one."""


class FromMemory(Protocol):
    """Answers that need no waiting. Called on the event loop with untrusted octets, in no order with anything else."""

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
    """Give it to uvicorn as `http`. Holds what memory takes, and asks it when the request is whole."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._memory: FromMemory | None = getattr(self.app, ATTRIBUTE, None) if self._is_plain else None
        self._is_holding = self._memory is not None

    def _bound_of(self, method: bytes, target: bytes) -> int | None:
        memory = self._memory
        return memory.max_body_bytes if memory is not None and memory.takes(method, target) else None

    def _take(self, body: bytes) -> bool:
        answer = None if self._memory is None else self._memory.find(self.parser.get_method(), self.url, body)
        if answer is None:
            return False
        self._write(200, answer)
        self._rest()
        return True
