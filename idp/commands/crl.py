"""`citizenid ca check-crls`, `ca crl-shards`, `ca delta-crl`: what the CRLs say is what the database says."""

import json
from typing import Annotated

import typer
from rich.console import Console

from ca_core.status.crl_checker import CrlCheck, CrlChecker
from idp.commands.shared import ConfigOption, JsonOption, opened, operator, show

AuthorityArgument = Annotated[str, typer.Option("--authority", help="The authority's slug.")]


def register(app: typer.Typer) -> None:
    """Adds these commands to the group `ca`."""
    app.command("check-crls")(check_crls)
    app.command("delta-crl")(delta_crl)
    app.command("crl-shards")(crl_shards)


def check_crls(
    authority: Annotated[str | None, typer.Option(help="One authority's slug; else all.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Proves that complete CRL = shards = database, base + delta = database, and that nothing left early.

    Exit status 1 where a fault is found.
    """
    with opened(config) as ca:
        checker = CrlChecker(ca.database, ca.registry, ca.status_log, ca.clock, shards=ca.shards)
        checks = checker.check_all() if authority is None else [checker.check(authority)]
    if as_json:
        print(json.dumps([_wire(check) for check in checks], ensure_ascii=False))
    else:
        show(
            [{name: value for name, value in _wire(check).items() if name != "faults"} for check in checks],
            as_json=False,
        )
        console = Console(stderr=True, markup=False, highlight=False)
        for check in checks:
            for fault in check.faults:
                console.print(f"{check.authority}: {fault}", style="bold red")
    if any(check.faults for check in checks):
        raise typer.Exit(1)


def delta_crl(authority: AuthorityArgument, config: ConfigOption = None) -> None:
    """Makes and publishes the authority's next delta CRL now."""
    with opened(config) as ca:
        record = ca.lists.publish_delta(authority)
        print(
            f"delta CRL {record.number} to {record.base_number}: {record.entries} entries, {record.size_bytes} octets"
        )


def crl_shards(
    authority: AuthorityArgument,
    count: Annotated[int, typer.Option(min=1, help="How many shards certificates are dealt out to from now on.")],
    config: ConfigOption = None,
) -> None:
    """Introduces shards for the certificates that are issued from now on, and publishes their lists.

    Certificates that exist stay where they are.
    """
    with opened(config, durable=True) as ca:
        found = ca.registry.by_slug(authority)
        layout = ca.shards.introduce(
            found.id, found.slug, count=count, publication_url=ca.issuance.publication_url, actor=operator()
        )
        print(f"layout {layout.generation} of {authority}: shards {layout.first} to {layout.first + layout.count - 1}")
        record = ca.lists.publish(found.slug)
        print(f"CRL {record.number} with a list for each shard")


def _wire(check: CrlCheck) -> dict[str, object]:
    return {
        "authority": check.authority,
        "complete": check.complete,
        "previous": check.previous,
        "delta": check.delta,
        "shards": check.shards,
        "entries": check.entries,
        "without_shard": check.without_shard,
        "faults": check.faults,
    }
