"""`citizenid ca …`: authorities, certificates, lists."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.issuance.handed_over import MAX_CERTIFICATE_BYTES, read_certificate
from ca_core.kernel.errors import DomainError
from ca_core.keys.model import PublicKey, key_digest
from ca_core.revocation.errors import InvalidityDateRefused
from ca_core.revocation.model import RevocationReason
from idp.commands.custodians import read_reviewed
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, read_bounded, show

app = command_group("The certification authority.")
ceremony_app = command_group("Authorities are made from a file that is reviewed first.")
app.add_typer(ceremony_app, name="ceremony")

_MAX_REASON = 200
CeremonyFile = Annotated[Path, typer.Argument(help="The ceremony's TOML file.")]
AuthorityOption = Annotated[str, typer.Option(help="The authority's slug.")]
SerialOption = Annotated[str, typer.Option(help="The certificate's serial number, hexadecimal.")]
InvalidityDateOption = Annotated[
    str | None,
    typer.Option(
        help="Since when the key is distrusted, with its zone: 2026-03-01T08:00:00+08:00.", show_default=False
    ),
]


class SerialMalformed(DomainError):
    """Not a hexadecimal number of at most 20 octets."""

    code = "serial_malformed"


class BlockedKeyMalformed(DomainError):
    """No public key that could be certified, or no reason."""

    code = "blocked_key_malformed"


@ceremony_app.command("review")
def ceremony_review(file: CeremonyFile, config: ConfigOption = None) -> None:
    """What the file would make, and its digest. Writes nothing."""
    with opened(config) as ca:
        print(ca.ceremonies.review(parse_ceremony(read_reviewed(file))))


@ceremony_app.command("run")
def ceremony_run(file: CeremonyFile, config: ConfigOption = None) -> None:
    """Makes keys and certificates, and prints the transcript."""
    with opened(config) as ca:
        print(ca.ceremonies.run(parse_ceremony(read_reviewed(file)), held_by=operator()).transcript)


@app.command("list")
def list_authorities(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The authorities, oldest first."""
    with opened(config) as ca:
        rows: list[dict[str, object]] = [
            {
                "slug": authority.slug,
                "role": authority.role.value,
                "subject": authority.certificate.subject.rfc4514_string(),
                "key_identifier": authority.key_identifier.hex(),
                "not_after": authority.certificate.not_valid_after_utc.isoformat(),
            }
            for authority in ca.registry.all()
        ]
        show(rows, as_json=as_json)


@app.command()
def revoke(
    authority: AuthorityOption,
    serial: SerialOption,
    reason: RevocationReason = RevocationReason.UNSPECIFIED,
    invalidity_date: InvalidityDateOption = None,
    config: ConfigOption = None,
) -> None:
    """Ends one certificate for good."""
    with opened(config, durable=True) as ca:
        authority_id, since = ca.registry.by_slug(authority).id, parse_invalidity_date(invalidity_date)
        ca.revocation.revoke(authority_id, parse_serial(serial), reason, operator(), since)


@app.command()
def suspend(authority: AuthorityOption, serial: SerialOption, config: ConfigOption = None) -> None:
    """Stops one certificate until it is resumed or revoked."""
    with opened(config, durable=True) as ca:
        ca.revocation.suspend(ca.registry.by_slug(authority).id, parse_serial(serial), operator())


@app.command()
def resume(authority: AuthorityOption, serial: SerialOption, config: ConfigOption = None) -> None:
    """Makes a suspended certificate valid again."""
    with opened(config, durable=True) as ca:
        ca.revocation.resume(ca.registry.by_slug(authority).id, parse_serial(serial), operator())


@app.command()
def crl(authority: AuthorityOption, config: ConfigOption = None) -> None:
    """Makes and publishes the authority's next CRL now."""
    with opened(config) as ca:
        record = ca.lists.publish(authority)
        print(f"CRL {record.number}: {record.entries} entries, {record.size_bytes} octets")


@app.command()
def recover(config: ConfigOption = None) -> None:
    """Ends issuances that a killed process left open; exit status 1 where one stays open."""
    with opened(config) as ca:
        report = ca.issuance.recover()
    print(f"{len(report.recovered)} certificates recorded, {len(report.stuck)} intents stay open")
    for intent in report.stuck:
        print(f"  {intent.request_id}: {intent.reason}")
    if report.stuck:
        raise typer.Exit(1)


@app.command("block-key")
def block_key(
    file: Annotated[Path, typer.Argument(help="The key: a public key in PEM, or a certificate of it.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    config: ConfigOption = None,
) -> None:
    """Keeps a key from ever being certified (again). What was issued for it stays as it is: see revoke."""
    with opened(config, durable=True) as ca:
        key = parse_blocked_key(read_bounded(file, MAX_CERTIFICATE_BYTES, BlockedKeyMalformed))
        if not (reason.isprintable() and 0 < len(reason) <= _MAX_REASON):
            raise BlockedKeyMalformed(f"reason: 1 to {_MAX_REASON} printable characters")
        ca.issuance.block_key(key, reason=reason, actor=operator())
        print(f"SHA-256 of the key: {key_digest(key)}")


def parse_blocked_key(octets: bytes) -> PublicKey:
    """Of a public key in PEM, or of a certificate. Raises: BlockedKeyMalformed."""
    try:
        if not octets.lstrip().startswith(b"-----BEGIN PUBLIC KEY"):
            return read_certificate(octets)[1]
        key = load_pem_public_key(octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BlockedKeyMalformed("neither a public key in PEM nor a certificate") from error
    if not isinstance(key, PublicKey):
        raise BlockedKeyMalformed("a kind of key that is never certified")
    return key


def parse_serial(text: str) -> int:
    """A serial number as openssl and browsers print it, colons allowed. Raises: SerialMalformed."""
    digits = text.replace(":", "").lower().removeprefix("0x")
    if not 1 <= len(digits) <= 40 or not set(digits) <= set("0123456789abcdef"):
        raise SerialMalformed(text[:60])
    return int(digits, 16)


def parse_invalidity_date(text: str | None) -> datetime | None:
    """A moment by ISO 8601. Raises: InvalidityDateRefused."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidityDateRefused(f"not a moment by ISO 8601: {text[:60]}") from error
