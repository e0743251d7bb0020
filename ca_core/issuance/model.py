"""What is asked for, and what was issued. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from cryptography import x509

from ca_core.keys.model import PublicKey, key_digest


class LintMode(StrEnum):
    """What the linter has read when a certificate is signed.

    every: the certificate itself. template: the boundary cases of its profile, of which the certificate differs in
    fields that were judged by rules; the worker has the certificate itself linted afterwards.
    """

    EVERY = "every"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceRequest:
    """A certificate that is wanted.

    request_id: idempotency key, 1-64 printable ASCII characters. authority: slug. Which of the optional fields must be
    there follows from the profile; a field that the profile does not use must be absent.
    subject_serial_number: 16 digits. national_id_last4: 4 digits. subject_name: for authorities' own certificates.
    csr: proof of possession; only its key and signature count, its names do not.
    derived_from: certificate_id of the one that it is derived from, where the profile says that there is one.
    actor: as in audit events, e.g. "operator:<id>".
    """

    request_id: str
    profile: str
    authority: str
    public_key: PublicKey
    actor: str
    subject_serial_number: str | None = None
    common_name: str | None = None
    national_id_last4: str | None = None
    dns_names: tuple[str, ...] = ()
    subject_name: x509.Name | None = None
    person_id: str | None = None
    card_number: str | None = None
    csr: x509.CertificateSigningRequest | None = None
    derived_from: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over what decides the certificate's content, 64 hexadecimal digits.

        Neither actor nor proof of possession count: a repeated request may come from another, with a fresh proof.
        """
        members = [
            self.profile,
            self.authority,
            key_digest(self.public_key),
            self.subject_serial_number,
            self.common_name,
            self.national_id_last4,
            self.dns_names,
            None if self.subject_name is None else self.subject_name.public_bytes().hex(),
            self.person_id,
            self.card_number,
            self.derived_from,
        ]
        return sha256(json.dumps(members, ensure_ascii=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """A recorded certificate. (authority_id, serial) is unique; serial alone and names are not.

    crl_shard: the part of the authority's revocation lists that it belongs to, where it names one.
    lint: how it was linted before it was signed; None where that was not here. derived_from: another's certificate_id.
    """

    certificate_id: int
    authority_id: int
    serial: int
    certificate: x509.Certificate
    profile: str
    person_id: str | None
    card_number: str | None
    crl_shard: int | None = None
    lint: LintMode | None = None
    derived_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The record that exactly these octets may be signed by that authority, made before they are."""

    request_id: str
    request_digest: str
    authority_id: int
    serial: int
    profile: str
    tbs: bytes
    person_id: str | None
    card_number: str | None
    actor: str
    created_at: datetime
    lint: LintMode
    completed_at: datetime | None = None
    derived_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckIntent:
    """An intent that cannot be carried out now, and why."""

    request_id: str
    authority_id: int
    serial: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """What `recover` did: certificates now recorded, and intents that stay open."""

    recovered: tuple[IssuedCertificate, ...]
    stuck: tuple[StuckIntent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintBacklogReport:
    """What one run over certificates that were issued by template found. findings: certificate_id to findings."""

    linted: int
    findings: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintState:
    """How the certificates of this CA were linted, in numbers. waiting: by template, not linted themselves yet."""

    every: int
    template: int
    waiting: int
    oldest_waiting: datetime | None
    with_findings: int


def serial_text(serial: int) -> str:
    """A serial as the tables hold it: 40 hexadecimal digits."""
    return format(serial, "040x")
