"""The yardsticks of `ocsp`: the same server, with the same settings, answering fixed octets to whatever it is asked.

`python -m idp.bench.fixed_server PORT SIZE WAY` prints one line of JSON and serves until it is ended. WAY: `memory`, in
the protocol, as `citizenid serve` gives OCSP answers that it has; or `asgi`, by an application.
"""

import json
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import Receive, Scope, Send

from ca_core.kernel.web.direct_protocol import DirectProtocol
from ca_core.kernel.web.known_heads import KnownHeads

_MAX_BODY = 8_192


class FixedOctets:
    """An application, and a `FromMemory`: as many headers as an OCSP answer needs, the octets, and nothing else."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.heads = KnownHeads()
        self._headers = (
            (b"content-type", b"application/ocsp-response"),
            (b"cache-control", b"public, max-age=60, no-transform, must-revalidate"),
            (b"last-modified", b"Mon, 02 Mar 2026 01:00:00 GMT"),
            (b"expires", b"Mon, 02 Mar 2026 01:30:00 GMT"),
            (b"etag", b'"0123456789abcdef0123456789abcdef"'),
            (b"content-length", b"%d" % len(octets)),
        )
        self._whole = b"".join([*(b"%b: %b\r\n" % header for header in self._headers), b"\r\n", octets])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            while (await receive()).get("more_body", False):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
        await send({"type": "http.response.body", "body": self._octets})

    @property
    def from_memory(self) -> "FixedOctets":
        return self

    @property
    def max_body_bytes(self) -> int:
        return _MAX_BODY

    def takes(self, method: bytes, target: bytes) -> bool:
        return True

    def find(self, method: bytes, target: bytes, body: bytes) -> bytes | None:
        return self._whole

    def begin(self, method: bytes, target: bytes, body: bytes, told: Callable[[bytes], None]) -> bool:
        return False


def main() -> None:
    """Serves as `citizenid serve` does."""
    port, size, way = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    print(json.dumps({"origin": f"http://127.0.0.1:{port}"}), flush=True)
    uvicorn.run(
        FixedOctets(bytes(size)),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=DirectProtocol if way == "memory" else "httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
    )


if __name__ == "__main__":
    main()
