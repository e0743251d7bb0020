"""OCSP answers in memory as whole HTTP answers, for `FromMemoryProtocol` to write."""

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

from ca_core.kernel.web.hop import Call, Hop
from ca_core.kernel.web.known_heads import KnownHeads
from ca_core.status.ocsp import OcspResponder
from ca_core.status.ocsp_answers import OcspAnswer
from ca_core.status.ocsp_web import MAX_GET_CHARACTERS, PATH, answer_headers, parse_ocsp_path

_TARGET = PATH.encode("ascii")
_BELOW = _TARGET + b"/"
_MAX_TARGET = len(_BELOW) + MAX_GET_CHARACTERS
_TARGETS = 8_192


class OcspMemory:
    """A `FromMemory` over the responder's answers. What it does not have, or not fresh, it asks the responder for.

    Used by one event loop. Of a GET it remembers which request its target spells, so as not to decode it again: at
    most 8,192 targets, each of which had an answer.
    """

    def __init__(self, ocsp: OcspResponder, hop: Hop) -> None:
        self._ocsp = ocsp
        self._hop = hop
        self._requests: dict[bytes, bytes] = {}
        self._heads = KnownHeads()

    @property
    def heads(self) -> KnownHeads:
        return self._heads

    @property
    def max_body_bytes(self) -> int:
        return self._ocsp.max_request_bytes

    def takes(self, method: bytes, target: bytes) -> bool:
        """POST of OCSP, and a GET whose target is a short path below it without a query."""
        if method == b"POST":
            return target == _TARGET
        return method == b"GET" and target.startswith(_BELOW) and len(target) <= _MAX_TARGET

    def find(self, method: bytes, target: bytes, body: bytes) -> bytes | None:
        if method == b"POST":
            answer = self._ocsp.remembered(body)
            return None if answer is None else _octets(answer)
        request_der = self._requests.get(target)
        if request_der is not None:
            answer = self._ocsp.remembered(request_der)
            return None if answer is None else _octets(answer)
        request_der = _spelled(target)
        if request_der is None:
            return None
        answer = self._ocsp.remembered(request_der)
        if answer is None:
            return None
        while len(self._requests) >= _TARGETS:
            del self._requests[next(iter(self._requests))]
        self._requests[target] = request_der
        return _octets(answer)

    def begin(self, method: bytes, target: bytes, body: bytes, told: Callable[[bytes], None]) -> bool:
        """Asks `respond`, where statements are run. A path that spells no request is `OcspEndpoint`'s to refuse."""
        request_der = body if method == b"POST" else _spelled(target)
        if request_der is None:
            return False

        def settled(call: Call) -> None:
            answer: OcspAnswer = call.result
            if isinstance(call.error, Exception):
                answer = self._ocsp.failed(call.error)
            told(_octets(answer))

        self._hop.start(lambda: self._ocsp.respond(request_der), settled)
        return True


def _spelled(target: bytes) -> bytes | None:
    """The request that a GET's target spells."""
    try:
        return parse_ocsp_path(unquote(target[len(_BELOW) :].decode("ascii")))
    except ValueError:
        return None


@lru_cache(maxsize=8_192)
def _octets(answer: OcspAnswer) -> bytes:
    """An answer's identity is the key: it never changes."""
    lines = [b"%b: %b\r\n" % header for header in answer_headers(answer)]
    return b"".join([*lines, b"\r\n", answer.der])
