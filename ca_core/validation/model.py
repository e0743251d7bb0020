"""What certificates are presented for, and what is known of one that passed. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ca_core.keys.model import PublicKey


class Purpose(StrEnum):
    LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedCertificate:
    """A certificate that passed every step of `CertificateValidator.verify`; nothing else makes one.

    status_source, status_age_s: what the status rests on; "database" and 0 where it was read live.
    """

    certificate_id: int
    authority_id: int
    serial: int
    person_id: str
    card_number: str
    profile: str
    public_key: PublicKey
    not_after: datetime
    status_source: str
    status_age_s: int
    der: bytes
