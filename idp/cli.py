"""The command line `citizenid`. Exit status 0, 1 (refused or failed, the reason on stderr), 2 (usage)."""

import typer

from idp.bench.cli import bench_app
from idp.bench.crl_bench import crl_bench
from idp.bench.issue_bench import issue as issue_bench
from idp.commands import (
    audit_log,
    backup,
    ca,
    card,
    client,
    crl,
    custodians,
    db,
    demo,
    internal,
    lint,
    migrate,
    responders,
    server,
    timestamp,
)
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
app.command("provider-keys")(server.provider_keys)
crl.register(ca.app)
responders.register(ca.app)
ca.app.command("internal-certificate")(internal.internal_certificate)
ca.app.add_typer(custodians.app, name="custodians")
ca.app.add_typer(lint.app, name="lint")
app.add_typer(ca.app, name="ca")
app.add_typer(card.app, name="card")
app.add_typer(client.app, name="client")
app.add_typer(audit_log.app, name="audit")
app.add_typer(timestamp.app, name="timestamp")
app.add_typer(backup.app, name="backup")
app.add_typer(migrate.app, name="migrate")
app.add_typer(db.app, name="db")
bench = bench_app(found_country)
bench.command("crl")(crl_bench)
bench.command("issue")(issue_bench)
app.add_typer(bench, name="bench")
