"""`citizenid card …`: the certificates of one card."""

from datetime import datetime
from typing import Annotated

import typer

from ca_core.cards.errors import CardNotFound
from ca_core.issuance.model import IssuedCertificate, serial_text
from ca_core.revocation.errors import RevocationError
from ca_core.revocation.model import Change, RevocationReason
from ca_core.revocation.service import ChangeCommand
from idp.commands.ca import InvalidityDateOption, parse_invalidity_date
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
    invalidity_date: InvalidityDateOption = None,
    config: ConfigOption = None,
) -> None:
    """Ends every certificate of the card for good."""
    with opened(config, durable=True) as ca:
        _change(ca, card_number, Change.REVOKE, reason, parse_invalidity_date(invalidity_date))


@app.command()
def suspend(card_number: CardArgument, config: ConfigOption = None) -> None:
    """Stops every certificate of the card until they are resumed or revoked."""
    with opened(config, durable=True) as ca:
        _change(ca, card_number, Change.SUSPEND, RevocationReason.CERTIFICATE_HOLD)


@app.command()
def resume(card_number: CardArgument, config: ConfigOption = None) -> None:
    """Makes the card's suspended certificates valid again. What is derived from them follows, unless it was suspended
    itself: see `ca resume`."""
    with opened(config, durable=True) as ca:
        _change(ca, card_number, Change.RESUME, RevocationReason.REMOVE_FROM_CRL)


def _change(
    ca: CertificationAuthority,
    card_number: str,
    change: Change,
    reason: RevocationReason,
    invalidity_date: datetime | None = None,
) -> None:
    """Changes every certificate that can be changed, all at once; raises the first refusal if none could."""
    found = _certificates(ca, card_number)
    if change is Change.RESUME:
        found = [one for one in found if one.derived_from is None] or found
    commands = [
        ChangeCommand(
            authority_id=one.authority_id,
            serial=one.serial,
            change=change,
            reason=reason,
            actor=operator(),
            invalidity_date=invalidity_date,
        )
        for one in found
    ]
    outcomes = ca.revocation.change_together(commands)
    refused = [outcome for outcome in outcomes if isinstance(outcome, RevocationError)]
    if len(refused) == len(outcomes):
        raise refused[0]
    print(f"{len(outcomes) - len(refused)} of {len(outcomes)} certificates changed")


def _certificates(ca: CertificationAuthority, card_number: str) -> list[IssuedCertificate]:
    with ca.database.read() as tx:
        found = ca.certificates.by_card(tx, card_number)
    if not found:
        raise CardNotFound(card_number)
    return found
