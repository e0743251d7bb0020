"""A process that imports and kills itself. Arguments: database URL, kind, file, where and when it dies, the moment."""

import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from support.moving_in import moving_in, run_kind


def main(url: str, kind: str, path: str, dies_at: str, start: str) -> None:
    step, count = dies_at.split(":")
    left = int(count)

    def checkpoint(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if reached == step and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    now = datetime.fromisoformat(start)
    run_kind(moving_in(Database.open(url), lambda: now, system_rng, batch=7, checkpoint=checkpoint), kind, Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
