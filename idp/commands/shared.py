"""What every command does the same way: settings, the services behind them, refusals, JSON."""

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ca_core.kernel.errors import ConfigurationError, DomainError
from ca_core.kernel.settings import load_settings
from idp.main.authority import CertificationAuthority
from idp.main.continuity import verify_serviceable

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; else CITIZENID_CONFIG and the environment.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for scripts.")]


def command_group(help_text: str) -> typer.Typer:
    """An empty group of commands."""
    return typer.Typer(help=help_text, no_args_is_help=True, pretty_exceptions_enable=False)


def read_bounded(path: Path, limit: int, refused: type[DomainError]) -> bytes:
    """A file's octets; of a larger one, one more than the limit. Raises: `refused`, where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise refused(f"{path}: {error.strerror}") from error


@contextmanager
def refusals() -> Iterator[None]:
    """A broken rule becomes its code and reason on stderr, and exit status 1."""
    try:
        yield
    except DomainError as error:
        print(f"{error.code}: {error.detail}" if error.detail else error.code, file=sys.stderr)
        raise typer.Exit(1) from error


@contextmanager
def opened(config: Path | None, *, current: bool = True, durable: bool = False) -> Iterator[CertificationAuthority]:
    """The services of the configured deployment, its database at this code's schema unless `current` is off.

    durable: what is done must reach the second place, also under the settings of a role that has no need of one.
    """
    with refusals():
        settings = load_settings(config)
        if durable and settings.second_place is None and not settings.without_second_place:
            raise ConfigurationError("second_place: is missing, and what this command does must be durable there")
        ca = CertificationAuthority(settings)
        try:
            if current:
                verify_serviceable(ca)
            yield ca
        finally:
            ca.close()


def operator() -> str:
    """Who runs the command, for the audit log: the account on this machine."""
    return f"operator:{getpass.getuser()}"


def show(rows: list[dict[str, object]], *, as_json: bool) -> None:
    """Rows of the same members: a table for people, a JSON array for scripts."""
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in rows[0] if rows else ["nothing"]:
        table.add_column(name, overflow="fold")  # a number that is cut short is worse than one on two lines
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
