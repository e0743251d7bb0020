"""A process that writes, places and publishes audit events and says so each time, until it is killed.

Arguments: the database's URL, the log's key file, its origin.
"""

import sys
from pathlib import Path

from ca_core.audit import AuditEvent, AuditLog, AuditSequencer, Outcome
from ca_core.audit.log_key import SoftwareLogKey
from ca_core.audit.publisher import CheckpointPublisher
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng

PASSPHRASE = b"a passphrase of tests"


def main() -> None:
    url, key_file, origin = sys.argv[1:]
    database = Database.open(url)
    audit = AuditLog(system_clock, system_rng)
    sequencer = AuditSequencer(database, system_clock)
    key = SoftwareLogKey.open(Path(key_file), PASSPHRASE, origin)
    publisher = CheckpointPublisher(database, key, system_clock)
    while True:
        with database.write() as tx:
            for _ in range(40):
                audit.append(tx, AuditEvent(name="test.done", actor="system:child", outcome=Outcome.OK))
        print("written", flush=True)
        sequencer.run_once()
        print("placed", flush=True)
        publisher.publish_due()
        print("published", flush=True)


if __name__ == "__main__":
    main()
