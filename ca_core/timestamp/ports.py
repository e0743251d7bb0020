"""What time stamping needs from outside."""

from typing import Protocol

from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Transaction
from ca_core.status.model import CertificateStatus
from ca_core.timestamp.model import TimestampUnit


class Authorities(Protocol):
    """`ca_core.authorities.AuthorityRegistry`."""

    def by_slug(self, slug: str) -> Authority:
        """Raises: AuthorityNotFound."""
        ...


class Issuer(Protocol):
    """Issues units' certificates: `ca_core.issuance.IssuanceService`, or the CA's port."""

    def issue(self, request: IssuanceRequest) -> IssuedCertificate: ...


class Statuses(Protocol):
    """`ca_core.status.StatusService`."""

    def status_of(self, tx: Transaction, certificate_id: int) -> CertificateStatus: ...


class Units(Protocol):
    """The key that stamps now."""

    def current(self) -> TimestampUnit:
        """Raises: UnitMissing."""
        ...


class ClockHealth(Protocol):
    """Whether the clock may be believed now."""

    def verify(self) -> None:
        """Raises: ClockNotTrusted."""
        ...
