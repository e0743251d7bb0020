"""A process that serves a role over TLS as `citizenid serve` does. Arguments: the settings file, the role, a marker.

Where the marker file holds the name of an issuance step, the process removes the file and kills itself at that step.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import uvicorn

from ca_core.issuance.checkpoint import Step
from ca_core.issuance.service import IssuanceService
from ca_core.kernel.settings import Role, load_settings
from idp.main import authority
from idp.main.app import build_app
from idp.main.signer import signer_server_options


def dying_by(marker: Path, step: Step) -> None:
    if marker.exists() and marker.read_text() == step.value:
        marker.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def main(config: str, role: str, marker: str) -> None:
    service = partial(IssuanceService, checkpoint=partial(dying_by, Path(marker)))
    vars(authority)["IssuanceService"] = service  # the same but for its checkpoint
    settings = load_settings(Path(config), role=role)
    options = signer_server_options(settings) if settings.role is Role.CA else {"http": "httptools"}
    app = build_app(settings)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=settings.port,
        loop="uvloop",
        lifespan="on",
        log_level="warning",
        ws="none",
        **options,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
