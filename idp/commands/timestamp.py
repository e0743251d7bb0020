"""`citizenid timestamp …`: the time-stamping unit and the record of what it stamped."""

from typing import Annotated

import typer

from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, show

app = command_group("Time stamps (RFC 3161).")
AuthorityOption = Annotated[str, typer.Option("--authority", help="The slug of the CA that certifies the unit.")]


@app.command()
def renew(authority: AuthorityOption, config: ConfigOption = None) -> None:
    """Makes a time-stamping key and has it certified, where there is none or it has served its time."""
    with opened(config) as ca:
        print("renewed" if ca.ensure_timestamp_unit(ca.units_of(authority)) else "not due")


@app.command()
def seal(config: ConfigOption = None) -> None:
    """Writes an audit event over the stamps that no event covers yet."""
    with opened(config) as ca:
        found = ca.timestamp_records.seal(operator())
        print("nothing to seal" if found is None else f"{found.count} stamps, through {found.through}")


@app.command()
def digest(
    after: Annotated[int, typer.Option(min=0, help="From the audit event `timestamp.sealed`.")],
    through: Annotated[int, typer.Option(min=0, help="From the same.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recomputes what a seal says about recorded stamps, to be compared with its audit event."""
    with opened(config) as ca:
        found = ca.timestamp_records.digest(after, through)
    show(
        [{"after": found.after, "through": found.through, "count": found.count, "sha256": found.digest}],
        as_json=as_json,
    )
