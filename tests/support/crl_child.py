"""A process that publishes a CRL and is killed by its own hand, SIGKILL, at a step.

Arguments: the database's URL, the folder with the authorities' keys, complete or delta, the step.
"""

import os
import signal
import sys
from pathlib import Path

from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from ca_core.status.crl_steps import CrlStep
from support.crl_world import CrlWorld, load_keys
from support.fakes import FakeClock


def main() -> None:
    url, folder, kind, wanted = sys.argv[1:]

    def die(step: CrlStep) -> None:
        if step.value == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    world = CrlWorld(Database.open(url), FakeClock(), system_rng, load_keys(Path(folder)), checkpoint=die)
    if kind == "delta":
        world.crls.publish_delta("citizen-g3")
    else:
        world.crls.publish("citizen-g3")


if __name__ == "__main__":
    main()
