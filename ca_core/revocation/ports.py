"""What revocation needs from outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cryptography import x509

from ca_core.kernel.database import Transaction
from ca_core.kernel.second_place import Record


class Issued(Protocol):
    """A recorded certificate."""

    @property
    def certificate_id(self) -> int: ...

    @property
    def authority_id(self) -> int: ...

    @property
    def serial(self) -> int: ...

    @property
    def certificate(self) -> x509.Certificate: ...

    @property
    def crl_shard(self) -> int | None:
        """The part of its authority's lists that it was issued into."""
        ...

    @property
    def derived_from(self) -> int | None:
        """The certificate_id of its origin, where it has one."""
        ...


class Certificates(Protocol):
    """What was issued: `ca_core.issuance.CertificateStore`."""

    def find(self, tx: Transaction, authority_id: int, serial: int) -> Issued | None:
        """The certificate of that authority with that serial."""
        ...

    def derived_from(self, tx: Transaction, certificate_id: int) -> Sequence[Issued]:
        """Those that were derived from one: a bounded number. From none of these anything is derived."""
        ...

    def block_key_of(
        self, tx: Transaction, certificate: x509.Certificate, *, reason: str, actor: str, now: datetime
    ) -> Record | None:
        """Its key is never certified again. What the second place must hold of that; None where it was so before."""
        ...
