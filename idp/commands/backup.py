"""`citizenid backup …`: the second place, backups, restoring, and the drill."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ca_core.backup.drill import run_drill
from ca_core.backup.errors import BackupRefused, DatabaseBehind
from ca_core.backup.journal import found_journal
from ca_core.kernel.settings import SoftwareKeys
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator
from idp.main.continuity import backup_service, verify_serviceable

app = command_group("Backups, restoring, and the drill that proves both.")
TargetArgument = Annotated[Path, typer.Argument(help="The backup's folder.")]


@app.command()
def found(config: ConfigOption = None) -> None:
    """Makes the empty folder of the setting second_place the second place. Once; take a backup after it."""
    with opened(config, current=False) as ca:
        if ca.settings.second_place is None:
            raise BackupRefused("second_place: is missing")
        print(f"journal {found_journal(ca.settings.second_place, ca.rng)} in {ca.settings.second_place}")


@app.command()
def create(target: TargetArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """A consistent backup in a new folder; nobody waits for it."""
    with opened(config) as ca:
        manifest = backup_service(ca).create(target, actor=operator())
    _print(
        {
            "backup_id": manifest.backup_id,
            "taken_at": manifest.taken_at.isoformat(),
            "files": len(manifest.files),
            "rows": sum(manifest.counts.values()),
            "journal_records": 0 if manifest.place is None else manifest.place.count,
            "keys": manifest.keys,
        },
        as_json=as_json,
    )


@app.command()
def restore(
    backup: TargetArgument,
    without_journal: Annotated[
        bool, typer.Option(help="Dangerous: un-revokes whatever was revoked after the backup.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts a backup into the configured, empty database and key folder, and replays the journal.

    Nothing can be served from it before this has ended; where it was cut off, repeat it.
    """
    with opened(config, current=False) as ca:
        keys = ca.settings.keys
        report = backup_service(ca).restore(
            backup,
            ca.settings.database_dsn(),
            key_folder=keys.folder if isinstance(keys, SoftwareKeys) else None,
            actor=operator(),
            without_journal=without_journal,
        )
    _print(
        {"backup_id": report.backup_id, "without_journal": report.without_journal, **asdict(report.replay)},
        as_json=as_json,
    )


@app.command()
def catch_up(
    after: Annotated[
        Path | None,
        typer.Option(
            help="A backup older than the database's state, where the journal's first files are gone.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Brings a database that was put back by other means than a restore up to the second place, where it stands.

    Every role must stand still. Closes the audit log's name, as a restore does; where it was cut off, repeat it.
    """
    with opened(config, current=False) as ca:
        with suppress(DatabaseBehind):
            verify_serviceable(ca)
        report = backup_service(ca).catch_up(actor=operator(), after=after)
    _print({"without_journal": report.without_journal, **asdict(report.replay)}, as_json=as_json)


@app.command()
def drill(
    scratch: Annotated[
        str, typer.Option(help="URL of an empty database of the same kind that the drill may fill; default: a file.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Backs up, restores into a scratch place, compares with what is live, and prints the figures."""
    with opened(config) as ca:
        url = ca.settings.database_dsn()
        report = run_drill(backup_service(ca), url, scratch or None, clock=ca.clock, actor=operator())
    _print(asdict(report), as_json=as_json)


def _print(found: dict[str, object], *, as_json: bool) -> None:
    print(json.dumps(found) if as_json else "\n".join(f"{name}: {value}" for name, value in found.items()))
