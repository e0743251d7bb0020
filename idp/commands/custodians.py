"""`citizenid ca custodians …`: who must approve a ceremony's file, and their approvals."""

from pathlib import Path
from typing import Annotated

import typer

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.custodians import CustodianService, approval_text, parse_custodians
from ca_core.authorities.errors import ApprovalRefused, CeremonyRefused, CustodianSetRefused
from idp.commands.shared import ConfigOption, JsonOption, command_group, opened, operator, read_bounded, refusals, show
from idp.main.authority import CertificationAuthority

app = command_group("Custodians: so many of them must approve a ceremony's file before it is held.")
_MAX_FILE_BYTES = 1_000_000
_MAX_SIGNATURE_BYTES = 4_096

File = Annotated[Path, typer.Argument(help="The ceremony's file, or the file of a new set of custodians.")]
SignatureOption = Annotated[Path, typer.Option(help="The custodian's signature over the approval text.")]


@app.command("text")
def text(file: File) -> None:
    """Prints what a custodian signs, e.g. with `openssl dgst -sha256 -sign key.pem -out me.sig approval.txt`."""
    with refusals():
        print(approval_text(_digest(read_reviewed(file))).decode("ascii"), end="")


@app.command()
def approve(file: File, signature: SignatureOption, config: ConfigOption = None) -> None:
    """Records a custodian's approval of a file."""
    with opened(config) as ca:
        digest = _digest(read_reviewed(file))
        octets = read_bounded(signature, _MAX_SIGNATURE_BYTES, ApprovalRefused)
        print(f"{_service(ca).approve(digest, octets, actor=operator())} approved {digest}")


@app.command()
def establish(file: File, config: ConfigOption = None) -> None:
    """Makes the custodians of a file the ones that count; so many of those before must have approved that file."""
    with opened(config) as ca:
        custodians = parse_custodians(read_reviewed(file))
        _service(ca).establish(custodians, actor=operator())
        print(f"{custodians.threshold} of {len(custodians.members)} custodians approve from now on")


@app.command("show")
def show_custodians(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The custodians that count now."""
    with opened(config) as ca:
        custodians = _service(ca).current()
        rows: list[dict[str, object]] = [
            {"name": member.name, "key_sha256": member.key_digest, "threshold": custodians.threshold}
            for member in (custodians.members if custodians is not None else ())
            if custodians is not None
        ]
        show(rows, as_json=as_json)


def _service(ca: CertificationAuthority) -> CustodianService:
    return CustodianService(ca.database, ca.audit, ca.clock)


def read_reviewed(file: Path) -> bytes:
    """The octets of a file that custodians approve. Raises: CeremonyRefused."""
    octets = read_bounded(file, _MAX_FILE_BYTES, CeremonyRefused)
    if len(octets) > _MAX_FILE_BYTES:
        raise CeremonyRefused(f"{file}: too large")
    return octets


def _digest(octets: bytes) -> str:
    """The digest of a file that is understood: nobody approves what nothing here can read. Raises: CeremonyRefused."""
    try:
        return parse_custodians(octets).digest
    except CustodianSetRefused:
        return parse_ceremony(octets).digest
