"""`citizenid audit …`: the append-only log, its Merkle tree, its witnesses, and copies that verify anywhere."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from ca_core.audit.folder import export_log, format_opening, open_log_files, openings
from ca_core.audit.note import parse_verifier_key
from ca_core.audit.offline import verify_copy
from ca_core.audit.published import PublishedLog
from ca_core.audit.verification import verify_log
from ca_core.audit.witnesses import Witnesses
from ca_core.kernel.errors import ConfigurationError, DomainError
from ca_core.kernel.settings import Role
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, refusals, show
from idp.main.authority import CertificationAuthority
from idp.main.log_keys import begin_log, open_log_key

app = command_group("The audit log.")
witness = command_group("Outside witnesses of the log.")
app.add_typer(witness, name="witness")

KeyOption = Annotated[str | None, typer.Option("--key", help="The log's public key: <name>+<id>+<base64>.")]
NameArgument = Annotated[str, typer.Argument(help="The witness's name.")]


class UnreadableFile(DomainError):
    code = "file_unreadable"


@app.command()
def verify(
    config: ConfigOption = None,
    key: KeyOption = None,
    log: Annotated[Path | None, typer.Option(help="A copied log (folder or ZIP file): no database is read.")] = None,
    witness_keys: Annotated[list[str] | None, typer.Option("--witness", help="A witness's public key.")] = None,
    quorum: Annotated[int, typer.Option(min=0, help="How many of the witnesses must have cosigned.")] = 0,
    earlier: Annotated[list[Path] | None, typer.Option(help="A checkpoint that was seen before.")] = None,
    events: Annotated[Path | None, typer.Option("--openings", help="Events with their salts, from `open`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Recomputes the whole log; exit status 1 and the first fault where it was altered.

    With --log it reads that copy alone, and needs --key; else the configured database.
    """
    if log is None:
        if witness_keys or quorum or earlier or events:
            raise typer.BadParameter("--witness, --quorum, --earlier and --openings go with --log")
        with opened(config) as ca:
            while ca.sequencer.run_once():
                pass
            report = verify_log(ca.database, None if key is None else parse_verifier_key(key))
        _print(
            {
                "chained": report.chained,
                "waiting": report.waiting,
                "root_hash": report.root_hash.hex(),
                "checkpoints": report.checkpoints,
                "of_other_logs": report.of_other_logs,
            },
            as_json=as_json,
        )
        return
    if key is None:
        raise typer.BadParameter("--log needs --key: a copy cannot say whose it is")
    with refusals(), _lines(events) as lines:
        found = verify_copy(
            open_log_files(log),
            parse_verifier_key(key),
            witnesses=[parse_verifier_key(text) for text in witness_keys or ()],
            quorum=quorum,
            earlier=[_read(path) for path in earlier or ()],
            openings=lines,
        )
    _print(
        {
            "origin": found.origin,
            "size": found.size,
            "root_hash": found.root_hash.hex(),
            "witnesses": {name: at.isoformat() for name, at in found.witnesses},
            "earlier": list(found.earlier),
            "openings": found.openings,
        },
        as_json=as_json,
    )


@app.command("key")
def show_key(config: ConfigOption = None) -> None:
    """Prints the log's public key, which auditors and witnesses must have from elsewhere than from its copies."""
    with opened(config) as ca:
        _require_key_holder(ca)
        print(open_log_key(ca)[1].verifier_key.text)


@app.command("new-log")
def new_log(config: ConfigOption = None) -> None:
    """Begins the log anew after a restore: the next name, a key of its own, the same tree. Prints its public key.

    Refused unless a restore has closed the log. Give the key to auditors and witnesses.
    """
    with opened(config, durable=True) as ca:
        _require_key_holder(ca)
        print(begin_log(ca, operator()).text)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the copy is made or brought up to date.")],
    config: ConfigOption = None,
) -> None:
    """Copies checkpoint, tiles and entries, which hold no personal data, for `audit verify --log`."""
    with opened(config) as ca:
        print(f"{export_log(PublishedLog(ca.database), folder)} entries")


@app.command("open")
def open_events(
    file: Annotated[Path, typer.Argument(help="One JSON object a line; readable by you alone.")],
    first: Annotated[int, typer.Option(min=0, help="From this index.")] = 0,
    last: Annotated[int | None, typer.Option(help="To this index; else to the end.")] = None,
    config: ConfigOption = None,
) -> None:
    """Writes events with their salts for an auditor. They say who did what: not for publication."""
    with opened(config) as ca:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as output:
            console = Console(stderr=True)
            for line in track(openings(ca.database, first, last), "events", transient=True, console=console):
                output.write(line + "\n")


@app.command()
def prove(
    index: Annotated[int, typer.Argument(min=0, help="The entry's index in the log.")],
    config: ConfigOption = None,
) -> None:
    """Prints, as JSON, one event, its salt, the proof that it is in the log, and the checkpoint that it leads to."""
    with opened(config) as ca:
        log = PublishedLog(ca.database)
        proof, event = log.inclusion(index), log.event(index)
    members = {
        "opening": None if event is None else json.loads(format_opening(index, event)),
        "entry": proof.entry.hex(),
        "proof": [node.hex() for node in proof.proof],
        "checkpoint": proof.checkpoint.decode(),
    }
    print(json.dumps(members, ensure_ascii=False))


@app.command("witness-request")
def witness_request(
    old_size: Annotated[int, typer.Option("--old", min=0, help="The size of the tree that the witness knows.")] = 0,
    config: ConfigOption = None,
) -> None:
    """Prints what is posted to a witness's `add-checkpoint` (c2sp.org/tlog-witness)."""
    with opened(config) as ca:
        print(_witnesses(ca).request(old_size)[1].decode(), end="")


@app.command()
def cosign(
    file: Annotated[Path, typer.Argument(help="A cosigned checkpoint, or with --size a witness's answer.")],
    size: Annotated[int | None, typer.Option(min=0, help="The checkpoint's size.")] = None,
    config: ConfigOption = None,
) -> None:
    """Takes in cosignatures of registered witnesses, which are then served with the checkpoint."""
    with opened(config) as ca:
        octets, register = _read(file), _witnesses(ca)
        names = register.accept_note(octets) if size is None else register.accept_lines(size, octets)
    print("\n".join(names))


@witness.command("add")
def add_witness(
    key: Annotated[str, typer.Argument(help="<name>+<id>+<base64>, of the kind for cosignatures.")],
    config: ConfigOption = None,
) -> None:
    """Registers a witness by its public key."""
    with opened(config) as ca:
        print(_witnesses(ca).add(key, operator()).key.name)


@witness.command("retire")
def retire_witness(name: NameArgument, config: ConfigOption = None) -> None:
    """Takes no more cosignatures of a witness."""
    with opened(config) as ca:
        _witnesses(ca).retire(name, operator())


@witness.command("list")
def list_witnesses(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every witness that is or was registered."""
    with opened(config) as ca:
        rows: list[dict[str, object]] = [
            {
                "name": found.key.name,
                "key": found.key.text,
                "added_at": found.added_at.isoformat(),
                "retired_at": "" if found.retired_at is None else found.retired_at.isoformat(),
            }
            for found in _witnesses(ca).all()
        ]
    show(rows, as_json=as_json)


def _require_key_holder(ca: CertificationAuthority) -> None:
    if ca.settings.role not in (Role.ALL, Role.CA):
        raise ConfigurationError(f"role: the log's key is not where {ca.settings.role} is, but with the role ca")


def _witnesses(ca: CertificationAuthority) -> Witnesses:
    return Witnesses(ca.database, ca.audit, ca.clock)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error


@contextmanager
def _lines(path: Path | None) -> Iterator[Iterator[str]]:
    if path is None:
        yield iter(())
        return
    try:
        file = path.open(encoding="ascii", errors="replace")
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error
    with file:
        yield file


def _print(found: dict[str, object], *, as_json: bool) -> None:
    print(
        json.dumps(found, ensure_ascii=False)
        if as_json
        else "\n".join(f"{name}: {value}" for name, value in found.items())
    )
