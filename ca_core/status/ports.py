"""What status services need from outside."""

from typing import Protocol

from cryptography.hazmat.primitives import hashes

from ca_core.authorities.model import Authority
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Transaction


class Authorities(Protocol):
    """The authorities of this house: `ca_core.authorities.AuthorityRegistry`."""

    def all(self) -> tuple[Authority, ...]: ...

    def by_slug(self, slug: str) -> Authority:
        """Raises: AuthorityNotFound."""
        ...

    def by_id(self, authority_id: int) -> Authority:
        """Raises: AuthorityNotFound."""
        ...

    def by_key_hash(
        self, issuer_key_hash: bytes, algorithm: hashes.HashAlgorithm, issuer_name_hash: bytes | None = None
    ) -> Authority | None:
        """The authority that an OCSP CertID names, or None where none of ours is meant."""
        ...


class Certificates(Protocol):
    """What was issued: `ca_core.issuance.CertificateStore`."""

    def find(self, tx: Transaction, authority_id: int, serial: int) -> IssuedCertificate | None:
        """The certificate of that authority with that serial, or None for a serial that it never issued."""
        ...


class Issuer(Protocol):
    """Issues responders' certificates: `ca_core.issuance.IssuanceService`, or the CA's port."""

    def issue(self, request: IssuanceRequest) -> IssuedCertificate: ...
