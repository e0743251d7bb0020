"""What a ceremony needs from issuance, which itself builds on authorities."""

from typing import Protocol

from cryptography import x509

from ca_core.authorities.model import AuthoritySigner, CertificateOrder, OrderedCertificate


class CertificateIssuer(Protocol):
    """Makes authorities' own certificates."""

    @property
    def publication_url(self) -> str:
        """What goes into the certificates as the place of CRLs, CA certificates and OCSP."""
        ...

    @property
    def profile_names(self) -> frozenset[str]:
        """Every profile there is."""
        ...

    def is_self_signed(self, profile: str) -> bool:
        """Whether that profile is a root's."""
        ...

    def rehearse(self, order: CertificateOrder, signer: AuthoritySigner) -> x509.Certificate:
        """What would be issued, checked and linted, with nothing written. Raises: DomainError."""
        ...

    def issue(self, order: CertificateOrder) -> OrderedCertificate:
        """Issues and records; the same certificate again for the same request_id. Raises: DomainError."""
        ...
