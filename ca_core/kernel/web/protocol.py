"""uvicorn's HTTP/1.1 with bounds: uvicorn has none on a request's head, nor on how long a request takes to come in."""

import asyncio
from typing import Any

from ca_core.kernel.web.connection_bounds import ConnectionBoundsProtocol

MAX_HEAD_BYTES = 32_768
"""Request line and header fields: twice what any of our own pages can lead to. Also what may frame a chunked body."""
_FRAME_PER_BODY_BYTE, _MAX_FRAME_BYTES = 8, 1_048_576
MAX_PIPELINED = 16
HEAD_TIMEOUT_S = 15.0
BODY_TIMEOUT_S = 60.0
_PIECE = 4_096
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttpProtocol(ConnectionBoundsProtocol):
    """A connection that ends with 431 for a head over MAX_HEAD_BYTES, with 400 for a request target that is not ASCII,
    and without a word where more than MAX_PIPELINED requests wait, a chunked body is mostly frame, or a head or body
    takes longer than its time. Trailers are dropped: uvicorn would keep them all."""

    _head_timeout_s = HEAD_TIMEOUT_S
    _body_timeout_s = BODY_TIMEOUT_S

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn's own
        self._is_in_head = True
        self._read_bytes = self._body_bytes = 0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._expect(self._head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """In pieces, so that what belongs to a head is known, and no more than a piece is read in vain."""
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            super().data_received(piece)
            if len(self.pipeline) > MAX_PIPELINED:
                self.pipeline.clear()
                self.transport.close()
                continue
            self._read_bytes += len(piece)
            around = min(self._body_bytes * _FRAME_PER_BODY_BYTE, _MAX_FRAME_BYTES)
            if self._read_bytes - self._body_bytes > MAX_HEAD_BYTES + around and not self.transport.is_closing():
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect(self._head_timeout_s)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.url.isascii():
            raise ValueError("a request target that is not ASCII")
        self._is_in_head = False
        self._expect(self._body_timeout_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._request_is_over()
        super().on_message_complete()

    def _request_is_over(self) -> None:
        self._is_in_head, self._read_bytes, self._body_bytes = True, 0, 0
        self._expect(None)

    def _refuse(self) -> None:
        if self._is_in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _expect(self, seconds: float | None) -> None:
        """Ends the connection after that time; None: for now it may wait, by uvicorn's own keep-alive time.

        One timer serves many requests: it looks at the deadline when it fires, and waits for what is left.
        """
        if seconds is None:
            self._deadline = None
            return
        self._deadline = self.loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._deadline is None or self.transport.is_closing():
            return
        if self.loop.time() >= self._deadline:
            self.transport.close()
        else:
            self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)
