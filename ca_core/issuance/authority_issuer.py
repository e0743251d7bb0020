"""Issuance as a ceremony sees it: authorities' own certificates."""

from cryptography import x509

from ca_core.authorities.model import AuthoritySigner, CertificateOrder, OrderedCertificate
from ca_core.issuance.model import IssuanceRequest
from ca_core.issuance.service import IssuanceService
from ca_core.profiles.model import Issuer


class AuthorityIssuer:
    """The `CertificateIssuer` of ca_core/authorities, over the one issuance service."""

    def __init__(self, service: IssuanceService) -> None:
        self._service = service

    @property
    def publication_url(self) -> str:
        return self._service.publication_url

    @property
    def profile_names(self) -> frozenset[str]:
        return frozenset(self._service.profiles)

    def is_self_signed(self, profile: str) -> bool:
        return self._service.profiles[profile].issuer is Issuer.SELF

    def rehearse(self, order: CertificateOrder, signer: AuthoritySigner) -> x509.Certificate:
        return self._service.rehearse(_request(order), signer)

    def issue(self, order: CertificateOrder) -> OrderedCertificate:
        issued = self._service.issue(_request(order))
        return OrderedCertificate(certificate_id=issued.certificate_id, certificate=issued.certificate)


def _request(order: CertificateOrder) -> IssuanceRequest:
    return IssuanceRequest(
        request_id=order.request_id,
        profile=order.profile,
        authority=order.issuer,
        public_key=order.public_key,
        subject_name=order.subject,
        actor=order.actor,
    )
