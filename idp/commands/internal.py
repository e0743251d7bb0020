"""`citizenid ca internal-certificate`: how the roles of a deployment know one another, made where the CA keys are."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.errors import ConfigurationError, DomainError
from ca_core.kernel.rng import random_token
from ca_core.keys.model import key_digest
from ca_core.signer.model import INTERNAL_PROFILE, role_name
from idp.commands.shared import ConfigOption, opened, operator
from idp.main.authority import CertificationAuthority


class InternalRole(StrEnum):
    """The signer itself, and the roles that may call it."""

    CA = "ca"
    VA = "va"
    ADMIN = "admin"
    MOBILE = "mobile"
    WORKER = "worker"


class FileExists(DomainError):
    """A file of that name is there already; nothing was made."""

    code = "file_exists"


def internal_certificate(
    role: Annotated[InternalRole, typer.Option(help="The role that it is for.")],
    out: Annotated[Path, typer.Option(help="Folder for ROLE.pem, ROLE-key.pem and root.pem.")],
    authority: Annotated[
        str | None, typer.Option(help="Slug of the issuing CA; else ca_port.client_authority.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Makes a key and the certificate that proves a role to the others. For the host with the CA keys."""
    with opened(config) as ca:
        port = ca.settings.ca_port
        slug = authority or (port.client_authority if port is not None else None)
        if slug is None:
            raise ConfigurationError("no authority: give --authority, or ca_port.client_authority in the settings")
        issued = write_internal_certificate(ca, role, out, authority=slug, actor=operator())
        pin = key_digest(issued.certificate.public_key())  # type: ignore[arg-type]  # the P-256 key made here
        print(f"{out / f'{role}.pem'}: {role_name(role)} until {issued.certificate.not_valid_after_utc:%Y-%m-%d}")
        print(f"key pin: {pin}")


def write_internal_certificate(
    ca: CertificationAuthority, role: InternalRole, out: Path, *, authority: str, actor: str
) -> IssuedCertificate:
    """ROLE.pem (the certificate and its issuer's), ROLE-key.pem and root.pem in that folder; no file is replaced.

    Raises: FileExists; as `IssuanceService.issue`.
    """
    chain, private = out / f"{role}.pem", out / f"{role}-key.pem"
    for path in (chain, private):
        if path.exists():
            raise FileExists(str(path))
    issuer = ca.registry.by_slug(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    name = role_name(role)
    issued = ca.issuance.issue(
        IssuanceRequest(
            request_id=f"internal:{role}:{random_token(ca.rng, 12)}",
            profile=INTERNAL_PROFILE,
            authority=authority,
            public_key=key.public_key(),
            common_name=name,
            dns_names=(name,),
            csr=x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256()),
            actor=actor,
        )
    )
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    _write(chain, _pem(issued.certificate) + _pem(issuer.certificate), mode=0o644)
    root = out / "root.pem"
    if not root.exists():
        _write(root, _pem(_root_above(ca, issuer).certificate), mode=0o644)
    return issued


def _root_above(ca: CertificationAuthority, authority: Authority) -> Authority:
    while authority.parent_id is not None:
        authority = ca.registry.by_id(authority.parent_id)
    return authority


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _write(path: Path, octets: bytes, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
