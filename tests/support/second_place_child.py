"""A process that issues and revokes, says what was acknowledged, and kills itself at a step of the journal.

Arguments: database URL, folder, what to do (issue, revoke, resume), a hexadecimal number (of the request, or the serial
of what to change), at which step's which call it dies (`written:1`), the moment.
"""

import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from ca_core.revocation import RevocationReason
from support.second_place import Guarded, request_of


def main(url: str, folder: str, action: str, serial: str, dies_at: str, start: str) -> None:
    step, count = dies_at.split(":")
    left = int(count)

    def checkpoint(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if reached == step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    now = datetime.fromisoformat(start)
    guarded = Guarded(url, Path(folder), Database.open(url), lambda: now, system_rng, checkpoint=checkpoint)
    authority = guarded.authority_id
    if action == "issue":
        print(f"{guarded.issuance.issue(request_of(int(serial, 16))).serial:x}", flush=True)
    elif action == "revoke":
        guarded.revocation.revoke(authority, int(serial, 16), RevocationReason.KEY_COMPROMISE, "system:child")
        print("revoked", flush=True)
    else:
        guarded.revocation.resume(authority, int(serial, 16), "system:child")
        print("resumed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
