"""The command line `citizenid`. Exit status 0, 1 (refused or failed, the reason on stderr), 2 (usage)."""

import typer

from idp.bench.cli import bench_app
from idp.commands import audit, ca, card, client, db, demo, server
from idp.demo.bench_country import found_country

app = typer.Typer(
    help="A national identity provider, and the certification authority behind it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(server.serve)
app.command("check-config")(server.check_config)
app.add_typer(ca.app, name="ca")
app.add_typer(card.app, name="card")
app.add_typer(client.app, name="client")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")
app.add_typer(bench_app(found_country), name="bench")


def main() -> None:
    """The entry point that is installed as `citizenid`."""
    app()
