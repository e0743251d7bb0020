"""`citizenid migrate …`: moving an existing certification authority in, from files.

The order: authorities (roots first), holders, certificates, lists, and OCSP when all of them are in. Whatever is killed
is begun again with the same command, and goes on where it was.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ca_core.issuance.handed_over import MAX_CERTIFICATE_BYTES
from ca_core.migration.errors import SourceRefused
from ca_core.migration.journal import refused_entries, reports
from ca_core.migration.model import ImportReport
from ca_core.migration.service import MigrationService
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, read_bounded, show
from idp.main.authority import CertificationAuthority
from idp.main.continuity import migration_service

app = command_group("Moving an existing certification authority in.")
SourceArgument = Annotated[Path, typer.Argument(help="The file or folder.", exists=True)]
AuthorityOption = Annotated[str, typer.Option(help="The imported authority's slug.")]
Told = Callable[[int, int], None]


@app.command("authority")
def import_authority(
    certificate: SourceArgument,
    slug: Annotated[str, typer.Option(help="What it is called here.")],
    key_label: Annotated[str | None, typer.Option(help="Its key in the key store, where it is there.")] = None,
    config: ConfigOption = None,
) -> None:
    """Records an authority by its certificate (DER or PEM). Without its key, its lists are not signed here."""
    with opened(config, durable=True) as ca:
        octets = read_bounded(certificate, MAX_CERTIFICATE_BYTES, SourceRefused)
        added = _service(ca, with_holders=False).authorities.add(
            octets, slug=slug, actor=operator(), key_label=key_label
        )
        print(f"{added.slug}: {added.role.value}, key {added.key_identifier.hex()}")


@app.command("holders")
def import_holders(source: SourceArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Registers persons from a CSV file: national_id, name, birthdate, gender, subject_serial_number, and any of
    card_number, email, phone."""
    with opened(config) as ca, _progress() as told:
        report = _service(ca).import_holders(source, actor=operator(), told=told)
    _show([report], as_json=as_json)


@app.command("certificates")
def import_certificates(
    source: SourceArgument,
    authority: AuthorityOption,
    without_holders: Annotated[bool, typer.Option(help="Take in certificates whose holder is not here.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Takes in certificates: a folder of DER or PEM files, a PEM bundle, or LDIF."""
    with opened(config, durable=True) as ca, _progress() as told:
        report = _service(ca, with_holders=not without_holders).import_certificates(
            source, authority, actor=operator(), without_holders=without_holders, told=told
        )
    _show([report], as_json=as_json)


@app.command("crl")
def import_crl(
    source: SourceArgument, authority: AuthorityOption, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Takes in a list's entries as status changes, with their own dates and reasons."""
    with opened(config, durable=True) as ca, _progress() as told:
        report = _service(ca, with_holders=False).import_crl(source, authority, actor=operator(), told=told)
    _show([report], as_json=as_json)


@app.command("ocsp")
def permit_responders(authority: AuthorityOption, config: ConfigOption = None) -> None:
    """Lets OCSP be answered for the authority, when all its certificates and lists are in. Needs its key; where that is
    elsewhere, `citizenid ca responder-request`."""
    with opened(config, durable=True) as ca:
        service = _service(ca, with_holders=False)
        permitted = service.authorities.permit_responders(authority, ca.key_store, actor=operator())
    print(f"{authority}: {'its responder is made within the hour' if permitted else 'was permitted before'}")


@app.command("report")
def report_imports(
    refusals: Annotated[bool, typer.Option(help="Every refused entry as a line of JSON, with the reason.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What was imported from which file, and what was refused and why."""
    with opened(config) as ca:
        if refusals:
            for refusal in refused_entries(ca.database):
                print(json.dumps(asdict(refusal), ensure_ascii=False))
            return
        _show(list(reports(ca.database)), as_json=as_json)


def _service(ca: CertificationAuthority, *, with_holders: bool = True) -> MigrationService:
    return migration_service(ca, with_holders=with_holders)


@contextmanager
def _progress() -> Iterator[Told]:
    """A bar on stderr while a person looks; nothing where the output goes elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>5.1f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("import", total=None)

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=max(total, 1))

        yield told


def _show(found: list[ImportReport], *, as_json: bool) -> None:
    rows: list[dict[str, object]] = [
        {
            "kind": report.kind.value,
            "file": report.name,
            "digest": report.digest if as_json else report.digest[:12],
            "accepted": report.accepted,
            "known": report.known,
            "refused": report.refused,
            "reasons": dict(report.reasons) if as_json else _text(report),
            "complete": report.completed_at is not None,
        }
        for report in found
    ]
    show(rows, as_json=as_json)


def _text(report: ImportReport) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(report.reasons.items()))
