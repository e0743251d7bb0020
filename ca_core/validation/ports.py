"""What validation needs from outside."""

from typing import Protocol

from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Transaction
from ca_core.status.model import CertificateStatus


class Authorities(Protocol):
    """The authorities of this house: `ca_core.authorities.AuthorityRegistry`."""

    def all(self) -> tuple[Authority, ...]: ...


class Certificates(Protocol):
    """What was issued: `ca_core.issuance.CertificateStore`."""

    def find(self, tx: Transaction, authority_id: int, serial: int) -> IssuedCertificate | None:
        """The certificate of that authority with that serial."""
        ...


class Statuses(Protocol):
    """Live status: `ca_core.status.StatusService`."""

    def status_of(self, tx: Transaction, certificate_id: int) -> CertificateStatus: ...
