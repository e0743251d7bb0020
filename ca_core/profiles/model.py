"""What a profile file may say. Unknown keys are refused everywhere."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ca_core.keys.model import KeyAlgorithm
from ca_core.profiles.oids import NAMES

_DOTTED = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")
_URI = re.compile(r"\{publication\}/[a-z{}/.-]+")
PLACEHOLDERS = ("{publication}", "{issuer}", "{shard}")


def _dotted(value: str) -> str:
    value = NAMES.get(value, value)
    if not _DOTTED.fullmatch(value):
        raise ValueError("neither a name in oids.py nor a dotted object identifier")
    x509.ObjectIdentifier(value)
    return value


def _uri(value: str) -> str:
    if not _URI.fullmatch(value) or set(re.findall(r"\{[^}]*\}", value)) - set(PLACEHOLDERS):
        raise ValueError("a URI is {publication}/... and may hold {issuer} and {shard}")
    return value


Oid = Annotated[str, AfterValidator(_dotted)]
"""Dotted, or by its name in oids.py."""
UriTemplate = Annotated[str, AfterValidator(_uri)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Issuer(StrEnum):
    """Whose key signs certificates of a profile."""

    SELF = "self"
    ROOT = "root"
    ISSUING = "issuing"
    ANY = "any"


class KeyReuse(StrEnum):
    """Whether a key that was certified before may be certified again.

    same-holder: for the same profile and holder. authority: as often as another authority certifies it; for CAs alone.
    """

    NEVER = "never"
    SAME_HOLDER = "same-holder"
    AUTHORITY = "authority"


class BeyondIssuer(StrEnum):
    """What happens to a certificate that would end after its issuer's."""

    REFUSE = "refuse"
    SHORTEN = "shorten"


class Source(StrEnum):
    """Where a subject attribute comes from."""

    COMMON_NAME = "common-name"
    SERIAL_NUMBER = "serial-number"
    ISSUER = "issuer"


class AttributeType(StrEnum):
    """Subject attributes: C and serialNumber become PrintableString, the others UTF8String."""

    C = "C"
    O = "O"  # noqa: E741 - the attribute's own name
    OU = "OU"
    CN = "CN"
    SERIAL_NUMBER = "serialNumber"

    @property
    def oid(self) -> x509.ObjectIdentifier:
        return ATTRIBUTE_OIDS[self]


ATTRIBUTE_OIDS = {
    AttributeType.C: NameOID.COUNTRY_NAME,
    AttributeType.O: NameOID.ORGANIZATION_NAME,
    AttributeType.OU: NameOID.ORGANIZATIONAL_UNIT_NAME,
    AttributeType.CN: NameOID.COMMON_NAME,
    AttributeType.SERIAL_NUMBER: NameOID.SERIAL_NUMBER,
}


class SubjectAttribute(_Part):
    """An attribute with a fixed value, or with one from the request (or of the issuer's own name)."""

    type: Annotated[AttributeType, Field(strict=False)]
    value: str | None = None
    source: Annotated[Source | None, Field(alias="from", strict=False)] = None

    @model_validator(mode="after")
    def _one_origin(self) -> "SubjectAttribute":
        if (self.value is None) == (self.source is None):
            raise ValueError("either value or from")
        return self


class Subject(_Part):
    """The name: its attributes in order, or `from_request` for the name that a ceremony gives."""

    from_request: bool = False
    attributes: tuple[SubjectAttribute, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _one_origin(self) -> "Subject":
        if self.from_request == bool(self.attributes):
            raise ValueError("either from_request or attributes")
        return self


class Validity(_Part):
    """How long: years or days from the moment of issuance, then to the end of that day in Taipei where it snaps."""

    years: Annotated[int | None, Field(ge=1, le=40)] = None
    days: Annotated[int | None, Field(ge=1, le=825)] = None
    snap_to_end_of_day: bool
    beyond_issuer: Annotated[BeyondIssuer, Field(strict=False)]

    @model_validator(mode="after")
    def _one_length(self) -> "Validity":
        if (self.years is None) == (self.days is None):
            raise ValueError("either years or days")
        return self


class KeyUsageBit(StrEnum):
    DIGITAL_SIGNATURE = "digitalSignature"
    NON_REPUDIATION = "nonRepudiation"
    KEY_ENCIPHERMENT = "keyEncipherment"
    DATA_ENCIPHERMENT = "dataEncipherment"
    KEY_AGREEMENT = "keyAgreement"
    KEY_CERT_SIGN = "keyCertSign"
    CRL_SIGN = "cRLSign"


_Bits = Annotated[tuple[Annotated[KeyUsageBit, Field(strict=False)], ...], Field(strict=False, min_length=1)]


class AuthorityKeyIdentifier(_Part):
    """The issuer's key identifier alone."""

    type: Literal["authority-key-identifier"]
    critical: Literal[False] = False


class SubjectKeyIdentifier(_Part):
    """SHA-1 over the public key: method 1 of RFC 5280 s4.2.1.2."""

    type: Literal["subject-key-identifier"]
    critical: Literal[False] = False


class KeyUsage(_Part):
    """The same bits for every key (`bits`), or by the key's kind (`rsa`, `ec`)."""

    type: Literal["key-usage"]
    critical: bool
    bits: _Bits | None = None
    rsa: _Bits | None = None
    ec: _Bits | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "KeyUsage":
        by_kind = self.rsa is not None and self.ec is not None
        if (self.bits is None) != by_kind or (self.bits is not None and (self.rsa or self.ec)):
            raise ValueError("either bits, or both rsa and ec")
        return self


class ExtendedKeyUsage(_Part):
    type: Literal["extended-key-usage"]
    critical: bool
    purposes: Annotated[tuple[Oid, ...], Field(strict=False, min_length=1)]


class BasicConstraints(_Part):
    type: Literal["basic-constraints"]
    critical: bool
    ca: Literal[True]
    path_length: Annotated[int | None, Field(ge=0, le=3)] = None


class CrlDistributionPoints(_Part):
    """One distribution point with one http URI for each; one with {shard} only where the authority has shards."""

    type: Literal["crl-distribution-points"]
    critical: Literal[False] = False
    uris: Annotated[tuple[UriTemplate, ...], Field(strict=False, min_length=1)]


class FreshestCrl(_Part):
    """Where the delta CRL is, in the same form."""

    type: Literal["freshest-crl"]
    critical: Literal[False] = False
    uris: Annotated[tuple[UriTemplate, ...], Field(strict=False, min_length=1)]


class AuthorityInformationAccess(_Part):
    """caIssuers first, then OCSP."""

    type: Literal["authority-information-access"]
    critical: Literal[False] = False
    ca_issuers: Annotated[tuple[UriTemplate, ...], Field(strict=False)] = ()
    ocsp: Annotated[tuple[UriTemplate, ...], Field(strict=False)] = ()


class CertificatePolicies(_Part):
    """Policies without qualifiers, in order."""

    type: Literal["certificate-policies"]
    critical: bool
    policies: Annotated[tuple[Oid, ...], Field(strict=False, min_length=1)]


class SubjectDirectoryAttributes(_Part):
    """Subject type (an OID) and, from the request, the last four characters of the national ID."""

    type: Literal["subject-directory-attributes"]
    critical: Literal[False] = False
    subject_type: Oid


class OcspNoCheck(_Part):
    type: Literal["ocsp-no-check"]
    critical: Literal[False] = False


class SubjectAlternativeNames(_Part):
    """The request's dNSNames."""

    type: Literal["subject-alternative-names"]
    critical: bool = False


Extension = Annotated[
    AuthorityKeyIdentifier
    | SubjectKeyIdentifier
    | KeyUsage
    | ExtendedKeyUsage
    | BasicConstraints
    | CrlDistributionPoints
    | FreshestCrl
    | AuthorityInformationAccess
    | CertificatePolicies
    | SubjectDirectoryAttributes
    | OcspNoCheck
    | SubjectAlternativeNames,
    Field(discriminator="type"),
]


class Profile(_Part):
    """One kind of certificate. Extensions stand in the certificate in the order of the file.

    derived_from: profiles of which one certificate, the same person's, is named when one of this profile is issued. It
    does not outlive that one, and is suspended, resumed and revoked with it.

    waived_findings: codes of the linter that do not refuse such a certificate; the reason stands in the file.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    description: str
    issuer: Annotated[Issuer, Field(strict=False)]
    key_algorithms: Annotated[
        tuple[Annotated[KeyAlgorithm, Field(strict=False)], ...], Field(strict=False, min_length=1)
    ]
    proof_of_possession: bool
    key_reuse: Annotated[KeyReuse, Field(strict=False)]
    person: bool
    derived_from: Annotated[tuple[str, ...], Field(strict=False)] = ()
    subject: Subject
    validity: Validity
    waived_findings: Annotated[tuple[str, ...], Field(strict=False)] = ()
    extensions: Annotated[tuple[Extension, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> "Profile":
        types = [extension.type for extension in self.extensions]
        if len(set(types)) != len(types):
            raise ValueError("an extension stands twice")
        if "key-usage" not in types:
            raise ValueError("every profile has a keyUsage")
        if self.is_ca != self.subject.from_request:
            raise ValueError("a CA's name comes from the ceremony, and no other's")
        if self.key_reuse is KeyReuse.AUTHORITY and (not self.is_ca or self.issuer is not Issuer.ROOT):
            raise ValueError("only an authority's key is certified as often as wanted, and only by roots")
        if self.derived_from and not self.person:
            raise ValueError("only a citizen's certificate is derived from another")
        return self

    @property
    def is_ca(self) -> bool:
        return any(isinstance(extension, BasicConstraints) for extension in self.extensions)

    def uses(self, source: Source) -> bool:
        """Whether the subject takes an attribute from there."""
        return any(attribute.source is source for attribute in self.subject.attributes)

    def has(self, kind: type[BaseModel]) -> bool:
        """Whether an extension of that class stands in it."""
        return any(isinstance(extension, kind) for extension in self.extensions)

    @property
    def policies(self) -> frozenset[str]:
        """Its certificate policies."""
        return frozenset(
            policy
            for extension in self.extensions
            if isinstance(extension, CertificatePolicies)
            for policy in extension.policies
        )
