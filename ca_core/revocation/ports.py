"""What revocation needs from outside."""

from typing import Protocol

from cryptography import x509

from ca_core.kernel.database import Transaction


class Issued(Protocol):
    """A recorded certificate."""

    @property
    def certificate_id(self) -> int: ...

    @property
    def certificate(self) -> x509.Certificate: ...

    @property
    def crl_shard(self) -> int | None:
        """The part of its authority's lists that it was issued into."""
        ...


class Certificates(Protocol):
    """What was issued: `ca_core.issuance.CertificateStore`."""

    def find(self, tx: Transaction, authority_id: int, serial: int) -> Issued | None:
        """The certificate of that authority with that serial."""
        ...
