"""`citizenid serve` and `citizenid check-config`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.settings import CONFIG_VARIABLE, PREFIX, Role, load_settings
from ca_core.kernel.web.direct_protocol import DirectProtocol
from idp.commands.shared import ConfigOption, opened, refusals
from idp.main.app import build_app
from idp.main.signer import signer_server_options
from idp.provider_keys.loading import ES256_LABEL, RS256_LABEL, make_provider_keys

KEEP_ALIVE_S = 30
"""How long an idle connection is kept."""


def serve(
    config: ConfigOption = None,
    role: Annotated[
        Role | None, typer.Option(help="What this process serves; else the settings' role.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    certificate: Annotated[
        Path | None, typer.Option(help="The TLS certificate chain, PEM.", show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", show_default=False)] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="TLS ends in a proxy in front; listen in plain http on loopback.")
    ] = False,
) -> None:
    """Serve a role, with settings from a file and the environment."""
    with refusals():
        settings = load_settings(config) if role is None else load_settings(config, role=role)
        if settings.role is Role.CA:
            _refuse_own_transport(certificate, key, behind_proxy=behind_proxy)
            transport = signer_server_options(settings)
        else:
            _verify_transport(settings.issuer, settings.host, tls=certificate is not None, behind_proxy=behind_proxy)
            transport = {"http": DirectProtocol, "ssl_certfile": certificate, "ssl_keyfile": key}
        build_app(settings)  # every fault shows here, before a worker process is started
    _hand_down(config, settings.role)
    uvicorn.run(
        "idp.main.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        **transport,
    )


def provider_keys(config: ConfigOption = None) -> None:
    """Makes the keys that sign tokens and statements, where they are missing. Before the first `serve`."""
    with opened(config) as ca:
        make_provider_keys(ca.key_store, ca.settings.statement_key_label)
    print(f"{ES256_LABEL}, {RS256_LABEL}, {ca.settings.statement_key_label}")


def check_config(config: ConfigOption = None) -> None:
    """Print the settings, redacted; or every fault in them, and exit status 1."""
    with refusals():
        print(json.dumps(load_settings(config).redacted(), indent=2, ensure_ascii=False))


def _verify_transport(issuer: str, host: str, *, tls: bool, behind_proxy: bool) -> None:
    """Production speaks https: here, or in a proxy on this machine. Raises: ConfigurationError."""
    if issuer.startswith("http:") or tls:
        return
    if not behind_proxy:
        raise ConfigurationError("no TLS certificate: give --certificate and --key, or say --behind-proxy")
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigurationError("host: behind a proxy, plain http is for loopback only")


def _refuse_own_transport(certificate: Path | None, key: Path | None, *, behind_proxy: bool) -> None:
    """The signer's port has its TLS from ca_port, to the end of the connection. Raises: ConfigurationError."""
    if certificate is not None or key is not None or behind_proxy:
        raise ConfigurationError("the role ca takes its certificate from ca_port: no option of the transport")


def _hand_down(config: Path | None, role: Role) -> None:
    """uvicorn's worker processes read the settings again, from the same places."""
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())  # noqa: TID251  (handed to child processes)
    os.environ[f"{PREFIX}ROLE"] = role.value  # noqa: TID251  (likewise)
