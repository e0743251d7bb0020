"""Which profiles serve which purpose, judged by the certificate's own content. Data, and one function over it."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_core.profiles.oids import ASSURANCE_LEVEL_3, CITIZEN_AUTHENTICATION_POLICY, PRIVATE_ARC
from ca_core.validation.errors import CertificateWrongProfile
from ca_core.validation.model import Purpose
from ca_core.validation.presented import PresentedCertificate

_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_OUR_POLICIES = f"{PRIVATE_ARC}.1."
_CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A profile that serves. policy: one that must be there. Of our own policies no other may be there.

    key_usages: the sets of keyUsage bits, each whole, that are accepted. purposes: the whole extKeyUsage, or None for a
    certificate that must not have one.
    """

    profile: str
    policy: str
    key_usages: frozenset[frozenset[str]]
    purposes: frozenset[str] | None


RULES: dict[Purpose, tuple[Rule, ...]] = {
    Purpose.LOGIN: (
        Rule(
            profile="citizen-authentication",
            policy=CITIZEN_AUTHENTICATION_POLICY,
            key_usages=frozenset({frozenset({"digital_signature"})}),
            purposes=frozenset({_CLIENT_AUTH}),
        ),
        Rule(
            profile="citizen-legacy-signature",
            policy=ASSURANCE_LEVEL_3,
            key_usages=frozenset(
                {frozenset({"digital_signature"}), frozenset({"digital_signature", "content_commitment"})}
            ),
            purposes=None,
        ),
    )
}


def verify_profile(presented: PresentedCertificate, purpose: Purpose) -> str:
    """The name of the profile by which the certificate serves the purpose. Raises: CertificateWrongProfile."""
    if presented.is_ca:
        raise CertificateWrongProfile("a CA's certificate")
    bits = _bits(presented.key_usage)
    for rule in RULES[purpose]:
        own = {policy for policy in presented.policies if policy.startswith(_OUR_POLICIES)}
        if (
            rule.policy in presented.policies
            and own <= {rule.policy}
            and bits in rule.key_usages
            and presented.extended_key_usage == rule.purposes
        ):
            return rule.profile
    raise CertificateWrongProfile("no profile that serves this purpose")


def _bits(usage: x509.KeyUsage | None) -> frozenset[str]:
    if usage is None:
        return frozenset()
    return frozenset(bit for bit in _BITS if getattr(usage, bit))
