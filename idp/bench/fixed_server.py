"""The yardstick of `ocsp`: the same uvicorn, with the same settings, answering fixed octets to whatever it is asked.

`python -m idp.bench.fixed_server PORT SIZE` prints one line of JSON and serves until it is ended.
"""

import json
import sys

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


def fixed_app(octets: bytes) -> ASGIApp:
    """Reads the request's body and answers the octets, with as many headers as an OCSP answer needs; nothing else."""
    headers = (
        (b"content-type", b"application/ocsp-response"),
        (b"cache-control", b"public, max-age=60, no-transform, must-revalidate"),
        (b"last-modified", b"Mon, 02 Mar 2026 01:00:00 GMT"),
        (b"expires", b"Mon, 02 Mar 2026 01:30:00 GMT"),
        (b"etag", b'"0123456789abcdef0123456789abcdef"'),
        (b"content-length", b"%d" % len(octets)),
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            while (await receive()).get("more_body", False):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": octets})

    return app


def main() -> None:
    """Serves as `citizenid serve` does."""
    port, size = int(sys.argv[1]), int(sys.argv[2])
    print(json.dumps({"origin": f"http://127.0.0.1:{port}"}), flush=True)
    uvicorn.run(
        fixed_app(bytes(size)),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
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
