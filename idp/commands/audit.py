"""`citizenid audit …`: the append-only log."""

import json

from ca_core.audit.verification import verify_log
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened

app = command_group("The audit log.")


@app.command()
def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Recomputes the whole log; exit status 1 and the first fault where it was altered."""
    with opened(config) as ca:
        while ca.sequencer.run_once():
            pass
        report = verify_log(ca.database)
    found = {"chained": report.chained, "waiting": report.waiting, "chain_hash": report.chain_hash.hex()}
    print(json.dumps(found) if as_json else "\n".join(f"{name}: {value}" for name, value in found.items()))
