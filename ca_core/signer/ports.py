"""What the signer needs from outside, and what its clients offer in its place."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cryptography import x509

from ca_core.authorities.model import Authority
from ca_core.cards.model import Card
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate, LintMode, RecoveryReport
from ca_core.kernel.database import Transaction
from ca_core.kernel.errors import DomainError
from ca_core.registration.model import Person
from ca_core.status.model import CertificateStatus, CrlRecord


class Issuance(Protocol):
    """`ca_core.issuance.IssuanceService`."""

    def issue(self, request: IssuanceRequest) -> IssuedCertificate: ...

    def issue_many(
        self, requests: Sequence[IssuanceRequest], *, lint: LintMode = LintMode.EVERY
    ) -> list[IssuedCertificate | DomainError]: ...

    def recover(self) -> RecoveryReport: ...


class Lists(Protocol):
    """`ca_core.status.crl.CrlService`, or the port to it."""

    def publish(self, authority_slug: str) -> CrlRecord: ...

    def publish_delta(self, authority_slug: str) -> CrlRecord: ...

    def publish_due(self) -> list[CrlRecord]: ...


class Authorities(Protocol):
    """`ca_core.authorities.AuthorityRegistry`."""

    def all(self) -> tuple[Authority, ...]: ...

    def by_slug(self, slug: str) -> Authority:
        """Raises: AuthorityNotFound."""
        ...


class Certificates(Protocol):
    """`ca_core.issuance.CertificateStore`."""

    def find(self, tx: Transaction, authority_id: int, serial: int) -> IssuedCertificate | None: ...


class Status(Protocol):
    """`ca_core.status.StatusService`."""

    def status_of(self, tx: Transaction, certificate_id: int) -> CertificateStatus: ...


class Records(Protocol):
    """What is on record and lets a certificate be signed. All read in one transaction of the signer's own."""

    def card(self, tx: Transaction, card_number: str) -> Card | None: ...

    def person(self, tx: Transaction, person_id: str) -> Person | None: ...

    def orders(self, tx: Transaction, authority_id: int) -> Sequence[str]:
        """The request ids of responders that were ordered for the authority and not made yet."""
        ...


class KeyHealth(Protocol):
    """Whether each authority's key can sign now: "ok" or an error's code, by slug."""

    def __call__(self) -> Mapping[str, str]: ...


class ClientCertificate(Protocol):
    """What TLS proved the possession of."""

    def __call__(self) -> x509.Certificate | None: ...
