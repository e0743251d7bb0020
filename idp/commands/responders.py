"""`citizenid ca responder-…`: OCSP certificates from an authority whose key is in another house."""

from pathlib import Path
from typing import Annotated

import typer

from ca_core.issuance.handed_over import MAX_CERTIFICATE_BYTES
from ca_core.status.errors import ResponderRefused
from idp.commands.shared import ConfigOption, opened, operator, read_bounded
from idp.main.continuity import outside_responders

AuthorityOption = Annotated[str, typer.Option(help="The imported authority's slug.")]


def register(app: typer.Typer) -> None:
    """Adds them to `citizenid ca`."""
    app.command("responder-request")(responder_request)
    app.command("responder-certificate")(responder_certificate)


def responder_request(authority: AuthorityOption, config: ConfigOption = None) -> None:
    """Prints a PKCS#10 request for a key that is made here, with the settings of the role that answers OCSP."""
    with opened(config) as ca:
        print(outside_responders(ca).request(authority).decode("ascii"), end="")


def responder_certificate(
    certificate: Annotated[Path, typer.Argument(help="What the authority made of it, DER or PEM.", exists=True)],
    authority: AuthorityOption,
    config: ConfigOption = None,
) -> None:
    """Takes that certificate in; OCSP is answered with it at once."""
    with opened(config, durable=True) as ca:
        octets = read_bounded(certificate, MAX_CERTIFICATE_BYTES, ResponderRefused)
        taken = outside_responders(ca).accept(octets, authority, actor=operator())
        print(f"{authority}: OCSP is answered here until {taken.not_valid_after_utc:%Y-%m-%d}")
