"""Direct endpoints and answers in memory, served by the HTTP protocol without ASGI."""

from typing import Any

from ca_core.kernel.web.direct import CLOSE, Direct, DirectEndpoint
from ca_core.kernel.web.from_memory import FromMemoryProtocol
from ca_core.kernel.web.whole import Answer, WholeRequest

ATTRIBUTE = "direct"
"""What the outermost ASGI application calls its `Direct`, where it has one."""

_FAILED = (
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\nconnection: close\r\n\r\nInternal Server Error"
)
"""uvicorn's own answer where an application failed."""


class DirectProtocol(FromMemoryProtocol):
    """Give it to uvicorn as `http`. Beside what memory takes, it holds GET without a body and POST for a direct
    endpoint, hands the whole request to it, and writes the answer when it is told.

    Until then a `Pending` stands where uvicorn has the cycle of the request that is being answered, so that order,
    shutdown and a lost connection are uvicorn's to keep.
    """

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn's own
        super().connection_made(transport)
        self._direct: Direct | None = getattr(self.app, ATTRIBUTE, None) if self._is_plain else None
        self._is_holding = self._is_holding or self._direct is not None
        self._endpoint: DirectEndpoint | None = None
        self._path = b""

    def _bound_of(self, method: bytes, target: bytes) -> int | None:
        self._endpoint = None
        bound = super()._bound_of(method, target)
        if bound is None and self._direct is not None and target.isascii() and b"#" not in target:
            self._path = path = target.partition(b"?")[0]
            self._endpoint = endpoint = self._direct.find(path, method)
            if endpoint is not None:
                return 0 if method == b"GET" else endpoint.max_body_bytes
        return bound

    def _take(self, body: bytes) -> bool:
        direct, endpoint = self._direct, self._endpoint
        if direct is None or endpoint is None:
            return super()._take(body) or self._is_begun(body)
        request = WholeRequest(
            self.parser.get_method().decode("ascii"),
            self._path.decode("ascii"),
            self.url[len(self._path) + 1 :],
            self.headers,
            body=body,
            request_id=direct.new_request_id(),
        )
        pending = Pending(self, request.request_id)
        endpoint.start(request, pending.told)
        self.cycle = pending  # type: ignore[assignment]  # of a cycle it has what uvicorn's protocol uses
        return True

    def _is_begun(self, body: bytes) -> bool:
        """What memory does not have, and whoever fills it answers a little later."""
        if self._memory is None:
            return False
        pending = Pending(self, "")
        if not self._memory.begin(self.parser.get_method(), self.url, body, pending.told):
            return False
        self.cycle = pending  # type: ignore[assignment]  # likewise
        return True

    def answered(self, pending: "Pending", outcome: Answer | bytes | BaseException) -> None:
        """Writes what came of a request, unless nobody is there to read it, and goes on to the next."""
        if pending.disconnected:
            return
        if self.transport.is_closing():
            self.server_state.total_requests += 1
            return
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            self._write_outcome(outcome, pending)
        except BaseException as error:
            self.logger.error("Exception in a direct endpoint", exc_info=error)
            pending.keep_alive = False
            self._write(500, _FAILED)
        if not pending.keep_alive:
            self.server_state.total_requests += 1
            self.transport.close()
        elif self.pipeline:
            self.on_response_complete()
        else:
            self.flow.resume_reading()
            self._rest()

    def _write_outcome(self, outcome: Answer | bytes, pending: "Pending") -> None:
        if isinstance(outcome, bytes):
            self._write(200, outcome if pending.keep_alive else CLOSE + outcome)
        elif self._direct is not None:
            octets = self._direct.octets(outcome, pending.request_id, keep_alive=pending.keep_alive)
            self._write(outcome.status, octets)


class Pending:
    """In the place of a RequestResponseCycle: a request that is answered without one."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "message_event", "request_id", "response_complete")

    def __init__(self, protocol: DirectProtocol, request_id: str) -> None:
        self._protocol = protocol
        self.request_id = request_id
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False
        self.message_event = _NOBODY_WAITS

    def told(self, outcome: Answer | bytes | BaseException) -> None:
        self.response_complete = True
        self._protocol.answered(self, outcome)


class _NobodyWaits:
    def set(self) -> None:
        """For uvicorn, which wakes a cycle when the connection is lost."""


_NOBODY_WAITS = _NobodyWaits()
