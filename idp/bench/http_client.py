"""HTTP/1.1 over one kept-alive loopback connection, with as little work as a client can do."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from idp.bench.errors import BenchFailed

_MAX_BODY = 1 << 20
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Header names are in lower case; of repeated ones the last stands, except Set-Cookie, of which all do."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes


class Connection:
    """One connection to one server, opened at the first request and again when the server has closed it."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise BenchFailed(f"not an http origin with a port: {origin}")
        self._host = parts.hostname
        self._port = parts.port
        self._authority = f"{parts.hostname}:{parts.port}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, target: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Answer:
        """Sends one request and returns the whole answer. Raises: BenchFailed where there is none."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        reused = self._streams is not None
        try:
            return await asyncio.wait_for(self._exchange(head + body), _TIMEOUT_S)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.close()
            if not reused:
                raise BenchFailed(f"{method} {target.partition('?')[0]}: {type(error).__name__}") from error
        except TimeoutError as error:
            self.close()
            raise BenchFailed(f"{method} {target.partition('?')[0]}: no answer") from error
        return await self.request(method, target, headers=headers, body=body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, octets: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=1 << 18)
        reader, writer = self._streams
        writer.write(octets)
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        cookies: list[str] = []
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            if name == "set-cookie":
                cookies.append(value.strip())
            else:
                headers[name] = value.strip()
        body = await _read_body(reader, headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status=int(status_line.split(" ", 2)[1]), headers=headers, cookies=tuple(cookies), body=body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(min(int(headers.get("content-length", "0")), _MAX_BODY))
    chunks = []
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        chunks.append(await reader.readexactly(min(size, _MAX_BODY)))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(chunks)
