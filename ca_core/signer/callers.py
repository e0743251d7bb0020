"""Which role a client certificate stands for: one ordered list of checks.

TLS has verified the path, the validity and the possession of the key before this is asked; here it is asked whether it
is the certificate of a role, by this house's own records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.keys.model import PublicKey, key_digest
from ca_core.signer.errors import CallerUnknown
from ca_core.signer.model import INTERNAL_PROFILE, Caller, CallerRole, Grants
from ca_core.signer.ports import Authorities, Certificates, Status


@dataclass(frozen=True, kw_only=True)  # without slots: the role is worked out once
class Presented:
    """A client certificate beside what this house knows of it. authority: the one that makes internal certificates."""

    unverified_certificate: x509.Certificate
    authority: Authority
    now: datetime
    grants: Grants
    recorded: IssuedCertificate | None
    is_good: bool

    @cached_property
    def role(self) -> CallerRole:
        """The role that the certificate names, and nothing beside it. Raises: CallerUnknown."""
        try:
            extension = self.unverified_certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError) as error:
            raise CallerUnknown("names no role") from error
        names = list(extension.value)
        for role in CallerRole:
            if names == [x509.DNSName(role.name_in_certificate)]:
                return role
        raise CallerUnknown("names no role, or more than one name")


def _issued_by_the_authority(presented: Presented) -> None:
    """By the key, never by the issuer's name."""
    try:
        presented.unverified_certificate.verify_directly_issued_by(presented.authority.certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CallerUnknown("issued by another authority") from error


def _valid_now(presented: Presented) -> None:
    """A connection may outlive the certificate that it was opened with."""
    certificate = presented.unverified_certificate
    if not certificate.not_valid_before_utc <= presented.now <= certificate.not_valid_after_utc:
        raise CallerUnknown("not valid now")


def _recorded_here(presented: Presented) -> None:
    recorded = presented.recorded
    if recorded is None or recorded.certificate.public_bytes(
        Encoding.DER
    ) != presented.unverified_certificate.public_bytes(Encoding.DER):
        raise CallerUnknown("not on record")
    if recorded.profile != INTERNAL_PROFILE:
        raise CallerUnknown(f"profile {recorded.profile}")


def _not_revoked(presented: Presented) -> None:
    if not presented.is_good:
        raise CallerUnknown("revoked or suspended")


def _role_is_granted(presented: Presented) -> None:
    if presented.role not in presented.grants:
        raise CallerUnknown(f"role {presented.role} is not on the allow-list")


def _key_is_pinned(presented: Presented) -> None:
    pins = presented.grants[presented.role].key_pins
    key = presented.unverified_certificate.public_key()
    if pins and (not isinstance(key, PublicKey) or key_digest(key) not in pins):
        raise CallerUnknown("a key that is not pinned")


CHECKS: tuple[Callable[[Presented], None], ...] = (
    _issued_by_the_authority,
    _valid_now,
    _recorded_here,
    _not_revoked,
    _role_is_granted,
    _key_is_pinned,
)


class CallerRegister:
    """Turns client certificates into callers. authority: slug of the issuing CA for internal certificates."""

    def __init__(
        self,
        *,
        database: Database,
        authorities: Authorities,
        certificates: Certificates,
        status: Status,
        clock: Clock,
        authority: str,
        grants: Grants,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._certificates = certificates
        self._status = status
        self._clock = clock
        self._authority = authority
        self._grants = grants

    def verify(self, unverified_certificate: x509.Certificate | None) -> Caller:
        """The caller whose certificate that is, by its record and status now. Raises: CallerUnknown."""
        if unverified_certificate is None:
            raise CallerUnknown("no client certificate")
        try:
            authority = self._authorities.by_slug(self._authority)
        except AuthorityNotFound as error:
            raise CallerUnknown(f"there is no authority {self._authority}") from error
        with self._database.read() as tx:
            recorded = self._certificates.find(tx, authority.id, unverified_certificate.serial_number)
            is_good = recorded is not None and self._status.status_of(tx, recorded.certificate_id).is_good
        presented = Presented(
            unverified_certificate=unverified_certificate,
            authority=authority,
            now=self._clock(),
            grants=self._grants,
            recorded=recorded,
            is_good=is_good,
        )
        for check in CHECKS:
            check(presented)
        if recorded is None:
            raise CallerUnknown("not on record")
        return Caller(role=presented.role, certificate_id=recorded.certificate_id)
