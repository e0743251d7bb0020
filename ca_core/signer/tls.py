"""Mutual TLS 1.3 on both ends of the port: the roles' names, not hosts', are what certificates prove."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.web.protocol import BoundedHttpProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files: our certificate with its issuers', its key, and the roots that the other side's path must end at."""

    certificate: Path
    key: Path
    trusted: Path


class MutualTlsProtocol(BoundedHttpProtocol):
    """Bounded HTTP/1.1 over TLS, which tells the application the client's certificate.

    As the ASGI extension `tls` has it (client_cert_chain, of which this has the first). A connection whose handshake
    left no verified client certificate is closed.
    """

    _extensions: dict[str, object]

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn's own
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        der = None if secured is None else secured.getpeercert(binary_form=True)
        chain = [] if der is None else [ssl.DER_cert_to_PEM_cert(der)]
        self._extensions = {"tls": {"client_cert_chain": chain}}
        if not chain:
            transport.close()

    def shutdown(self) -> None:
        """Ends an idle connection at once: its client reads nothing, and so would never answer TLS's own goodbye."""
        is_idle = self.cycle is None or self.cycle.response_complete
        super().shutdown()
        if is_idle:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]  # a later ASGI extension


def server_options(files: TlsFiles) -> dict[str, Any]:
    """What uvicorn is to be told, in this process and in its worker processes."""
    return {"http": MutualTlsProtocol, "ssl_context_factory": partial(_for_uvicorn, files)}


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.3 alone; without a client certificate under the trusted roots there is no connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, files)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.3 alone, with our client certificate; the server's must hold the name that is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.trusted)
    except (OSError, ssl.SSLError) as error:
        names = f"{files.certificate}, {files.key}, {files.trusted}"
        raise ConfigurationError(f"{names}: cannot be used for TLS: {error}") from error


def _for_uvicorn(files: TlsFiles, _config: object, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    return server_context(files)
