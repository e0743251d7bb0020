"""HTTP/1.1 with its bounds, which gives answers that lie in memory at once: no ASGI scope, no task, no timer for each.

Those cost more than such an answer (docs/adr/0015). Whatever is not a plain request for an answer in memory goes on to
the application as if this were `BoundedHttpProtocol`: the decision falls when the request is whole, nothing of it is
written before, and what was read of it is handed on in the same calls.
"""

import asyncio
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from ca_core.kernel.web.protocol import BoundedHttpProtocol

ATTRIBUTE = "from_memory"
"""What the outermost ASGI application calls its `FromMemory`, where it has one."""

_ORDINARY = frozenset(
    (b"transfer-encoding", b"expect", b"upgrade", b"if-match", b"if-none-match", b"if-modified-since", b"range")
)
"""Headers with which a request is the application's."""


class FromMemory(Protocol):
    """Answers that need no waiting. Called on the event loop with untrusted octets, in no order with anything else."""

    @property
    def max_body_bytes(self) -> int:
        """A larger body is the application's to refuse."""

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether `find` is worth asking. target: the request target as it was sent. Whatever else is in memory."""

    def find(self, method: bytes, target: bytes, body: bytes) -> bytes | None:
        """A 200 answer's octets behind the Date header: header lines with Content-Length, an empty line, the body.

        None: the application answers.
        """


class FromMemoryProtocol(BoundedHttpProtocol):
    """Give it to uvicorn as `http`. A request is held here from its headers to its end, if it is one that memory takes,
    has a body of known and bounded length, keeps the connection open, and no other is being answered on it.

    The parser is uvicorn's own, so that where a request ends is decided in one place for both ways.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        found = getattr(self.app, ATTRIBUTE, None)
        is_plain = not self.access_log and not self.root_path and self.limit_concurrency is None
        self._memory: FromMemory | None = found if is_plain else None
        self._held: bytes | None = None
        self._defaults: list[tuple[bytes, bytes]] | None = None
        self._head = b""
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._idle_since = None
        super().data_received(data)

    def on_message_begin(self) -> None:
        if self._memory is None:
            super().on_message_begin()
            return
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._expect(self._head_timeout_s)

    def on_headers_complete(self) -> None:
        if self._memory is None:
            super().on_headers_complete()
        elif self._may_hold(self._memory):
            self._held = b""
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
            return
        self._held += body
        self._body_bytes += len(body)
        if self._memory is None or len(self._held) > self._memory.max_body_bytes:
            self._let_go()

    def on_message_complete(self) -> None:
        if self._held is not None:
            answer = self._found(self._held)
            if answer is not None:
                self._held = None
                self._request_is_over()
                self._write(answer)
                return
            self._let_go()
        super().on_message_complete()

    def shutdown(self) -> None:
        """A request that has begun is answered before the connection ends."""
        if self._held is not None:
            self._let_go()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._held = None
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super().connection_lost(exc)

    def _may_hold(self, memory: FromMemory) -> bool:
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # answers follow the order of the requests
        parser = self.parser
        if not memory.takes(parser.get_method(), self.url):
            return False
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        for name, _ in self.headers:
            if name in _ORDINARY:
                return False
        return True

    def _found(self, body: bytes) -> bytes | None:
        """From memory, unless the client does not read what it has, or the connection ends."""
        if self._memory is None or self.flow.write_paused or self.transport.is_closing():
            return None
        try:
            return self._memory.find(self.parser.get_method(), self.url, body)
        except Exception as error:  # the parser would take it for the client's fault
            self.logger.error("Exception in answers from memory", exc_info=error)
            return None

    def _begin(self) -> None:
        """What uvicorn does at a request's first octet and at the end of its headers."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = expects
        super().on_headers_complete()

    def _let_go(self) -> None:
        """The held request goes to the application."""
        body, self._held = self._held, None
        self._begin()
        if body:
            self._body_bytes -= len(body)
            super().on_body(body)

    def _write(self, answer: bytes) -> None:
        defaults = self.server_state.default_headers
        if defaults is not self._defaults:  # another list once a second
            self._defaults = defaults
            self._head = STATUS_LINE[200] + b"".join(b"%b: %b\r\n" % header for header in defaults)
        self.transport.write(self._head + answer)
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._end_idle)

    def _end_idle(self) -> None:
        """uvicorn's keep-alive timeout, one timer for many answers. After an ordinary answer uvicorn's own runs."""
        self._idle_timer = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(left, self._end_idle)
