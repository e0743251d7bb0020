"""A profile's extensions as cryptography builds them. Pure."""

from dataclasses import dataclass
from functools import lru_cache

from asn1crypto.core import Any, ObjectIdentifier, PrintableString, Sequence, SequenceOf, SetOf
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca_core.crl_shards.model import CrlShard
from ca_core.issuance.errors import RequestMalformed
from ca_core.issuance.model import IssuanceRequest
from ca_core.keys.model import key_algorithm_of
from ca_core.profiles import model as profile_model
from ca_core.profiles.model import KeyUsageBit
from ca_core.profiles.oids import NATIONAL_ID_LAST4, SUBJECT_DIRECTORY_ATTRIBUTES, SUBJECT_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerFacts:
    """What of the issuer goes into the certificates that it issues."""

    slug: str
    key_identifier: bytes
    publication_url: str
    crl_shard: CrlShard | None = None

    def expand(self, template: str) -> str:
        """A URI of a profile with its placeholders filled. A shard's is the one its layout recorded."""
        if self.crl_shard is not None and "{shard}" in template:
            return self.crl_shard.uri
        return template.replace("{publication}", self.publication_url).replace("{issuer}", self.slug)


def build_extension(
    extension: profile_model.Extension, request: IssuanceRequest, issuer: IssuerFacts
) -> x509.ExtensionType:
    """The value of one extension for one request; its criticality stands in the profile."""
    match extension:
        case profile_model.AuthorityKeyIdentifier():
            return x509.AuthorityKeyIdentifier(issuer.key_identifier, None, None)
        case profile_model.SubjectKeyIdentifier():
            return x509.SubjectKeyIdentifier.from_public_key(request.public_key)
        case profile_model.KeyUsage():
            return _key_usage(extension, request)
        case profile_model.ExtendedKeyUsage():
            return x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose) for purpose in extension.purposes])
        case profile_model.BasicConstraints():
            return x509.BasicConstraints(ca=True, path_length=extension.path_length)
        case profile_model.CrlDistributionPoints():
            return x509.CRLDistributionPoints(_distribution_points(extension.uris, issuer))
        case profile_model.FreshestCrl():
            return x509.FreshestCRL(_distribution_points(extension.uris, issuer))
        case profile_model.AuthorityInformationAccess():
            return _information_access(extension, issuer)
        case profile_model.CertificatePolicies():
            return x509.CertificatePolicies(
                [x509.PolicyInformation(x509.ObjectIdentifier(policy), None) for policy in extension.policies]
            )
        case profile_model.SubjectDirectoryAttributes():
            return _directory_attributes(extension, request)
        case profile_model.OcspNoCheck():
            return x509.OCSPNoCheck()
        case profile_model.SubjectAlternativeNames():
            return x509.SubjectAlternativeName([x509.DNSName(name) for name in request.dns_names])


def _distribution_points(uris: tuple[str, ...], issuer: IssuerFacts) -> list[x509.DistributionPoint]:
    return [
        x509.DistributionPoint([_uri(issuer.expand(uri))], None, None, None)
        for uri in uris
        if issuer.crl_shard is not None or "{shard}" not in uri
    ]


def _uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def _key_usage(extension: profile_model.KeyUsage, request: IssuanceRequest) -> x509.KeyUsage:
    by_kind = extension.rsa if key_algorithm_of(request.public_key).is_rsa else extension.ec
    bits = extension.bits or by_kind or ()
    return x509.KeyUsage(
        digital_signature=KeyUsageBit.DIGITAL_SIGNATURE in bits,
        content_commitment=KeyUsageBit.NON_REPUDIATION in bits,
        key_encipherment=KeyUsageBit.KEY_ENCIPHERMENT in bits,
        data_encipherment=KeyUsageBit.DATA_ENCIPHERMENT in bits,
        key_agreement=KeyUsageBit.KEY_AGREEMENT in bits,
        key_cert_sign=KeyUsageBit.KEY_CERT_SIGN in bits,
        crl_sign=KeyUsageBit.CRL_SIGN in bits,
        encipher_only=False,
        decipher_only=False,
    )


def _information_access(
    extension: profile_model.AuthorityInformationAccess, issuer: IssuerFacts
) -> x509.AuthorityInformationAccess:
    places = [(AuthorityInformationAccessOID.CA_ISSUERS, uri) for uri in extension.ca_issuers]
    places += [(AuthorityInformationAccessOID.OCSP, uri) for uri in extension.ocsp]
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, _uri(issuer.expand(uri))) for method, uri in places]
    )


class _Values(SetOf):  # type: ignore[misc]  # asn1crypto is untyped
    _child_spec = Any


class _Attribute(Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields = [("type", ObjectIdentifier), ("values", _Values)]  # noqa: RUF012 - asn1crypto's way


class _Attributes(SequenceOf):  # type: ignore[misc]  # asn1crypto is untyped
    _child_spec = _Attribute


def _directory_attributes(
    extension: profile_model.SubjectDirectoryAttributes, request: IssuanceRequest
) -> x509.UnrecognizedExtension:
    """RFC 5280 s4.2.1.8, which cryptography has no class for."""
    if request.national_id_last4 is None:
        raise RequestMalformed("national_id_last4: missing")
    value = _attributes_but_for_last4(extension.subject_type) + request.national_id_last4.encode("ascii")
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(SUBJECT_DIRECTORY_ATTRIBUTES), value)


@lru_cache(maxsize=16)
def _attributes_but_for_last4(subject_type: str) -> bytes:
    """The attributes' DER up to the four digits that stand at its end."""
    attributes = _Attributes(
        [
            {"type": SUBJECT_TYPE, "values": [ObjectIdentifier(subject_type)]},
            {"type": NATIONAL_ID_LAST4, "values": [PrintableString("0000")]},
        ]
    )
    octets: bytes = attributes.dump()
    return octets[:-4]
