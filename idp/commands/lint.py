"""`citizenid ca lint …`: how certificates were linted, and linting what was issued by template."""

from typing import Annotated

import typer

from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, show

app = command_group("Linting of issued certificates.")
LimitOption = Annotated[int, typer.Option(min=1, help="At most so many certificates.")]


@app.command()
def state(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """How many certificates were linted themselves, by template, and are waiting; and how long the oldest waits."""
    with opened(config) as ca:
        found = ca.lint_backlog.state()
        oldest = None if found.oldest_waiting is None else found.oldest_waiting.isoformat()
        row: dict[str, object] = {
            "every": found.every,
            "template": found.template,
            "waiting": found.waiting,
            "oldest_waiting": oldest,
            "with_findings": found.with_findings,
        }
        show([row], as_json=as_json)


@app.command()
def backlog(limit: LimitOption = 100_000, config: ConfigOption = None) -> None:
    """Lints what was issued by template and waits; exit status 1 where anything is found."""
    with opened(config) as ca:
        report = ca.lint_backlog.lint_backlog(limit=limit)
    print(f"{report.linted} certificates linted, {len(report.findings)} with findings")
    for certificate_id, findings in report.findings.items():
        print(f"  certificate {certificate_id}: {'; '.join(findings)}")
    if report.findings:
        raise typer.Exit(1)


@app.command()
def templates(
    authority: Annotated[str, typer.Argument(help="The authority's slug.")], config: ConfigOption = None
) -> None:
    """Lints the boundary cases of every profile that an authority issues."""
    with opened(config) as ca:
        for name in ca.issuance.load_templates(authority):
            print(name)
