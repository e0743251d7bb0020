"""`citizenid client …`: the registry of relying parties."""

import json
from typing import Annotated

import typer

from ca_core.statement.model import LocalText
from idp.clients.model import ClientRegistration, TokenEndpointAuthMethod
from idp.clients.service import ClientRegistry
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, show
from idp.oauth.algorithms import SigningAlgorithm

app = command_group("Relying parties.")


@app.command()
def add(
    name: Annotated[str, typer.Option(help="Display name in Chinese.")],
    name_en: Annotated[str, typer.Option(help="Display name in English.")],
    purpose: Annotated[str, typer.Option(help="Why it asks citizens to log in, in Chinese.")],
    purpose_en: Annotated[str, typer.Option(help="The same in English.")],
    redirect_uri: Annotated[list[str], typer.Option(help="Exact; may be given several times.")],
    scope: Annotated[str, typer.Option(help="What it may ask for, separated by spaces.")] = "openid",
    post_logout_redirect_uri: Annotated[list[str] | None, typer.Option(show_default=False)] = None,
    token_endpoint_auth_method: TokenEndpointAuthMethod = TokenEndpointAuthMethod.CLIENT_SECRET_BASIC,
    id_token_signed_response_alg: SigningAlgorithm = SigningAlgorithm.ES256,
    sector_identifier: Annotated[str | None, typer.Option(help="Where redirect URIs have several hosts.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Else one is made.", show_default=False)] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Registers a relying party and prints its secret, which is shown this once."""
    asked = ClientRegistration(
        name=LocalText(zh_tw=name, en=name_en),
        purpose=LocalText(zh_tw=purpose, en=purpose_en),
        redirect_uris=tuple(redirect_uri),
        post_logout_redirect_uris=tuple(post_logout_redirect_uri or ()),
        scopes=tuple(scope.split()),
        token_endpoint_auth_method=token_endpoint_auth_method,
        id_token_signed_response_alg=id_token_signed_response_alg,
        sector_identifier=sector_identifier,
        client_id=client_id,
    )
    with opened(config) as ca:
        made = ClientRegistry(ca.database, ca.clock, ca.rng, ca.audit).register(asked, actor=operator())
    members = {"client_id": made.client.client_id, "client_secret": made.client_secret}
    print(json.dumps(members) if as_json else "\n".join(f"{name}: {value}" for name, value in members.items()))


@app.command("list")
def list_clients(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every relying party."""
    with opened(config) as ca:
        found = ClientRegistry(ca.database, ca.clock, ca.rng, ca.audit).all()
    rows: list[dict[str, object]] = [
        {
            "client_id": client.client_id,
            "name": client.name.zh_tw,
            "scopes": " ".join(client.scopes),
            "redirect_uris": " ".join(client.redirect_uris),
        }
        for client in found
    ]
    show(rows, as_json=as_json)
