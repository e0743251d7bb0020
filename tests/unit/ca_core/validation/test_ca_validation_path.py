import pytest
from cryptography import x509

from ca_core.validation.errors import CertificateUnknownIssuer
from ca_core.validation.path import PathVerifier
from support.fakes import START
from support.small_pki import CITIZEN_CA_NAME, SmallPki

UNPROCESSED = [
    x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None),
    x509.InhibitAnyPolicy(0),
    x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.tw")], excluded_subtrees=None),
]


def verify(pki: SmallPki, slug: str) -> str:
    """The slug of the authority that is found for a new certificate of `slug`."""
    authority = pki.authorities.by_slug(slug)
    certificate = pki.issue(authority).certificate
    verifier = PathVerifier(pki.authorities, [pki.root.certificate])
    return verifier.verify_issuer(certificate, authority.key_identifier, START).authority.slug


def test_generations_of_one_name_are_told_apart() -> None:
    pki = SmallPki()
    assert [verify(pki, slug) for slug in ("citizen-g2", "citizen-g3")] == ["citizen-g2", "citizen-g3"]


@pytest.mark.parametrize("constraint", UNPROCESSED, ids=lambda constraint: type(constraint).__name__)
def test_a_constraint_that_is_not_processed_is_refused_though_not_critical(constraint: x509.ExtensionType) -> None:
    pki = SmallPki()
    pki.add_authority("bound", CITIZEN_CA_NAME, parent=pki.root, extra=(constraint,))
    with pytest.raises(CertificateUnknownIssuer):
        verify(pki, "bound")
