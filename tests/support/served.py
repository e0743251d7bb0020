"""An application served on loopback from within the test."""

import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette

from support.processes import free_port


class served:
    """The application on a port of its own, in a thread, for as long as the block lasts."""

    def __init__(self, app: Starlette, port: int | None = None) -> None:
        self._port = free_port() if port is None else port
        config = uvicorn.Config(app, host="127.0.0.1", port=self._port, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with socket.create_connection(("127.0.0.1", self._port), 5):
            pass
        return f"http://127.0.0.1:{self._port}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()
