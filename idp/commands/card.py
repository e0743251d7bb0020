"""`citizenid card …`: the certificates of one card."""

from collections.abc import Callable
from typing import Annotated

import typer

from ca_core.cards.errors import CardNotFound
from ca_core.issuance.model import IssuedCertificate, serial_text
from ca_core.kernel.errors import DomainError
from ca_core.revocation.model import RevocationReason
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, show
from idp.main.authority import CertificationAuthority

app = command_group("Cards and their certificates.")
CardArgument = Annotated[str, typer.Argument(help="The card's number, 16 digits.")]


@app.command("show")
def show_card(card_number: CardArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The card's certificates and their status now."""
    with opened(config) as ca:
        rows: list[dict[str, object]] = []
        for issued in _certificates(ca, card_number):
            with ca.database.read() as tx:
                status = ca.status.status_of(tx, issued.certificate_id)
            rows.append(
                {
                    "profile": issued.profile,
                    "authority": ca.registry.by_id(issued.authority_id).slug,
                    "serial": serial_text(issued.serial).lstrip("0"),
                    "not_after": issued.certificate.not_valid_after_utc.isoformat(),
                    "status": status.state.value,
                }
            )
        show(rows, as_json=as_json)


@app.command()
def revoke(
    card_number: CardArgument,
    reason: RevocationReason = RevocationReason.UNSPECIFIED,
    config: ConfigOption = None,
) -> None:
    """Ends every certificate of the card for good."""
    with opened(config, durable=True) as ca:
        _each(ca, card_number, lambda one: ca.revocation.revoke(one.authority_id, one.serial, reason, operator()))


@app.command()
def suspend(card_number: CardArgument, config: ConfigOption = None) -> None:
    """Stops every certificate of the card until they are resumed or revoked."""
    with opened(config, durable=True) as ca:
        _each(ca, card_number, lambda one: ca.revocation.suspend(one.authority_id, one.serial, operator()))


@app.command()
def resume(card_number: CardArgument, config: ConfigOption = None) -> None:
    """Makes the card's suspended certificates valid again."""
    with opened(config, durable=True) as ca:
        _each(ca, card_number, lambda one: ca.revocation.resume(one.authority_id, one.serial, operator()))


def _each(ca: CertificationAuthority, card_number: str, change: Callable[[IssuedCertificate], object]) -> None:
    """Changes every certificate that can be changed; raises the first refusal if none could."""
    refused: list[DomainError] = []
    issued = _certificates(ca, card_number)
    for one in issued:
        try:
            change(one)
        except DomainError as error:
            refused.append(error)
    print(f"{len(issued) - len(refused)} of {len(issued)} certificates changed")
    if len(refused) == len(issued):
        raise refused[0]


def _certificates(ca: CertificationAuthority, card_number: str) -> list[IssuedCertificate]:
    with ca.database.read() as tx:
        found = ca.certificates.by_card(tx, card_number)
    if not found:
        raise CardNotFound(card_number)
    return found
