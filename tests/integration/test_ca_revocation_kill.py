"""A process killed in the midst of revoking: what it acknowledged is there, and nothing is there by half."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from sqlalchemy import func, select

from ca_core.audit import AuditSequencer, verify_log
from ca_core.audit import store as audit_store
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database, Statement
from ca_core.revocation import StatusLog
from support import status_child

EVENTS = Statement(select(func.count()).select_from(audit_store.events))


def test_kill_9_loses_no_acknowledged_revocation(database_url: str, database: Database, tmp_path: Path) -> None:
    tests = Path(status_child.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-m", "support.status_child", database_url, "100000"],
        stdout=subprocess.PIPE,
        cwd=tests,
        env={**os.environ, "PYTHONPATH": str(tests)},
        text=True,
    ) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait(10)
    with database.read() as tx:
        log = StatusLog()
        head = log.head(tx)
        found, after = [], 0
        while page := log.changes_after(tx, after):
            found += [change.sequence for change in page]
            after = found[-1]
        events = tx.one_or_none(EVENTS)
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert found == list(range(1, head + 1))
    assert len(acknowledged) <= head <= len(acknowledged) + 1
    assert events == (head,)
    sequencer = AuditSequencer(database, system_clock)
    while sequencer.run_once():
        pass
    assert verify_log(database).chained == head
