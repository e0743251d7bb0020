"""A process that issues until it kills itself. Arguments: database URL, key folder, what to do, where to die, start.

Run as `python -m support.pki_child` with the tests' folder on the path.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from ca_core.issuance import IssuanceRequest
from ca_core.issuance.model import LintMode
from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from ca_core.keys import SoftwareKeyStore
from support.pki import World, ceremony, citizen_request

PASSPHRASE = b"for tests only"
REQUEST_ID = "killed-1"


def dying_at(count: int) -> Callable[[object], None]:
    """A checkpoint that ends the process at its count-th call (the first is 1), as a power cut would."""
    calls, lock = 0, threading.Lock()

    def checkpoint(_step: object) -> None:
        nonlocal calls
        with lock:
            calls += 1
            if calls == count:
                os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def batch_requests() -> list[IssuanceRequest]:
    """Three, the same in every process: whoever repeats them repeats these."""
    return [
        citizen_request(
            f"batch-{index}", key=derive_private_key(1_000 + index, SECP256R1()), card_number=f"{index:016d}"
        )
        for index in range(3)
    ]


def main(url: str, folder: str, action: str, count: str, start: str) -> None:
    now = datetime.fromisoformat(start)
    database = Database.open(url)
    keys = SoftwareKeyStore(Path(folder), PASSPHRASE)
    checkpoint = dying_at(int(count))
    world = World(database, lambda: now, system_rng, key_store=keys, checkpoint=checkpoint)
    if action == "ceremony":
        world.hold(ceremony())
    elif action in ("batch", "batch-every"):
        lint = LintMode.EVERY if action == "batch-every" else LintMode.TEMPLATE
        world.issuance.issue_many(batch_requests(), lint=lint, batch_size=2)
    else:
        world.issuance.issue(citizen_request(REQUEST_ID))
    database.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
