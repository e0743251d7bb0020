"""HTTP/1.1 with its bounds, which holds some requests back until they are whole, and answers them without ASGI.

ASGI's scope, task and events cost more than the answers meant here (docs/adr/0005, 0015). Whatever is not a plain small
request goes on to the application as if this were `BoundedHttpProtocol`: the decision falls when the request is whole,
nothing of it is written before, and what was read of it is handed on in the same calls.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ca_core.kernel.web.protocol import BoundedHttpProtocol

_ORDINARY = frozenset(
    (b"transfer-encoding", b"expect", b"upgrade", b"if-match", b"if-none-match", b"if-modified-since", b"range")
)
"""Headers with which a request is the application's."""
_MAX_LENGTH_DIGITS = 9


class HoldingProtocol(BoundedHttpProtocol):
    """A request is held from the end of its headers to its own end, if `_bound_of` takes it, it keeps the connection
    open, and no other is being answered on it. Then `_take` answers it, or the application does.

    An access log, a root path or a concurrency limit are honoured by the ordinary way alone: `_is_plain` is False, and
    nothing may be held. A class below sets `_is_holding` where it has something to answer from.

    The parser is uvicorn's own, so that where a request ends is decided in one place for both ways.
    """

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn's own
        self._is_plain = not self.access_log and not self.root_path and self.limit_concurrency is None
        self._is_holding = False
        self._is_at_start = True
        """Whether the parser stands where a request begins, behind one that was taken."""
        self._held: bytes | None = None
        self._bound = 0
        self._defaults: list[tuple[bytes, bytes]] | None = None
        self._date = b""
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)

    def _bound_of(self, method: bytes, target: bytes) -> int | None:
        """How many octets of a body may be held; None for a request that is the application's."""
        return None

    def _take(self, body: bytes) -> bool:
        """Whether the held request is answered: written by now, or `self.cycle` stands for it until it is."""
        return False

    def data_received(self, data: bytes) -> None:
        idle_since, self._idle_since = self._idle_since, None
        super().data_received(data)
        if self._is_at_start and self._idle_since is None and (self.cycle is None or self.cycle.response_complete):
            self._idle_since = idle_since  # empty lines are no request: the connection is as idle as before

    def on_message_begin(self) -> None:
        if not self._is_holding:
            super().on_message_begin()
            return
        self._is_at_start = False
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._expect(self._head_timeout_s)

    def on_headers_complete(self) -> None:
        if not self._is_holding:
            super().on_headers_complete()
        elif self._may_hold():
            self._held = b""
            self._is_in_head = False
            self._expect(self._body_timeout_s)
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
            return
        self._held += body
        self._body_bytes += len(body)
        if len(self._held) > self._bound:
            self._let_go()

    def on_message_complete(self) -> None:
        if self._held is not None:
            if self._is_taken(self._held):
                self._held = None
                self._is_at_start = True
                self._request_is_over()
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

    def _is_ready(self) -> bool:
        """No other request is being answered, and what is written now goes out."""
        is_free = self.cycle is None or self.cycle.response_complete
        return is_free and not self.transport.is_closing() and not self.flow.write_paused

    def _may_hold(self) -> bool:
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # answers follow the order of the requests
        parser = self.parser
        bound = self._bound_of(parser.get_method(), self.url)
        if bound is None or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        for name, value in self.headers:
            if name in _ORDINARY:
                return False
            if name == b"content-length" and (len(value) > _MAX_LENGTH_DIGITS or int(value) > bound):
                return False
        self._bound = bound
        return True

    def _is_taken(self, body: bytes) -> bool:
        """Not where the client does not read what it has, or the connection ends."""
        if self.flow.write_paused or self.transport.is_closing():
            return False
        try:
            return self._take(body)
        except Exception as error:  # the parser would take it for the client's fault
            self.logger.error("Exception in an answer without ASGI", exc_info=error)
            return False

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

    def _write(self, status: int, answer: bytes) -> None:
        """answer: all octets behind the server's own header fields."""
        defaults = self.server_state.default_headers
        if defaults is not self._defaults:  # another list once a second
            self._defaults = defaults
            self._date = b"".join(b"%b: %b\r\n" % header for header in defaults)
        self.transport.write(STATUS_LINE[status] + self._date + answer)

    def _rest(self) -> None:
        """An answer is written, and no other is due: uvicorn's keep-alive timeout, one timer for many answers. After
        an answer of the application uvicorn's own runs."""
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._end_idle)

    def _end_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(left, self._end_idle)
