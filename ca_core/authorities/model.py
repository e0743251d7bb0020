"""What an authority is. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from ca_core.keys.model import PublicKey


class AuthorityRole(StrEnum):
    ROOT = "root"
    ISSUING = "issuing"


STILL_ISSUED = frozenset({"ocsp-responder"})
"""What an authority still issues that was retired, revoked or suspended: answers about what it issued go on."""
RESERVED_ENDING = "-delta"
"""No slug ends so: `crl/SLUG-delta.crl` is where the deltas of the authority SLUG are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority with its certificate.

    id and slug are its only names: generations of one authority share the byte-identical subject name.
    profiles: the names of the certificate profiles that it may issue. key_identifier: its SubjectKeyIdentifier.
    certificate_id: its own certificate, as recorded by the issuer that made it (a root by itself).
    """

    id: int
    slug: str
    role: AuthorityRole
    certificate: x509.Certificate
    certificate_id: int
    key_label: str
    parent_id: int | None
    key_identifier: bytes
    profiles: frozenset[str]

    @property
    def public_key(self) -> PublicKey:
        key = self.certificate.public_key()
        if not isinstance(key, PublicKey):
            raise TypeError("an authority's key is RSA or EC")
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySigner:
    """What is needed to issue in an authority's name; an authority has this before it has a certificate.

    certificate is None only while the ceremony that makes the authority is under way: then it may issue nothing but,
    where it is a root, its own certificate. is_good: its own certificate is neither revoked nor suspended.
    """

    id: int
    slug: str
    role: AuthorityRole
    key_label: str
    public_key: PublicKey
    key_identifier: bytes
    profiles: frozenset[str]
    certificate: x509.Certificate | None
    is_good: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCertificate:
    """One root's key under another root's signature. subject_id, issuer_id: authorities."""

    certificate_id: int
    subject_id: int
    issuer_id: int
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonyRecord:
    """A ceremony that was carried out, as stored. `transcript` is the text that goes into the safe."""

    id: int
    digest: str
    title: str
    held_by: str
    started_at: datetime
    completed_at: datetime
    transcript: str
    authorities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCeremony:
    """A ceremony as far as it got."""

    id: int
    digest: str
    title: str
    held_by: str
    started_at: datetime
    completed_at: datetime | None
    transcript: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOrder:
    """An authority's own certificate, as a ceremony asks for it. issuer: slug; a root's is its own."""

    request_id: str
    profile: str
    issuer: str
    public_key: PublicKey
    subject: x509.Name
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedCertificate:
    """What the issuer recorded for an order."""

    certificate_id: int
    certificate: x509.Certificate
