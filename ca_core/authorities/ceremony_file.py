"""The one file that a ceremony is held by, read and reviewed before. Pure."""

import tomllib
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ca_core.authorities.errors import CeremonyRefused
from ca_core.authorities.model import RESERVED_ENDING
from ca_core.keys.model import KeyAlgorithm
from ca_core.profiles.model import ATTRIBUTE_OIDS, AttributeType

SELF = "self"
_SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$"


def _slug(value: str) -> str:
    if value.endswith(RESERVED_ENDING):
        raise ValueError(f"a slug does not end in {RESERVED_ENDING}")
    return value


_Slug = Annotated[str, Field(pattern=_SLUG), AfterValidator(_slug)]
_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Participant(_Part):
    """Somebody who is there, and as what."""

    name: _Line
    role: _Line


class NameAttribute(_Part):
    type: Annotated[AttributeType, Field(strict=False)]
    value: _Line


class AuthoritySpec(_Part):
    """An authority to be made. issuer: "self", or the slug of a root in this file above it or made before.

    issues: profiles that it will be allowed to issue. Its key's label is its slug.
    """

    slug: _Slug
    profile: _Line
    issuer: _Slug
    key_algorithm: Annotated[KeyAlgorithm, Field(strict=False)]
    subject: Annotated[tuple[NameAttribute, ...], Field(strict=False, min_length=1)]
    issues: Annotated[tuple[_Line, ...], Field(strict=False, min_length=1)]

    @property
    def name(self) -> x509.Name:
        """The subject: C in PrintableString, all else in UTF8String; one attribute a RelativeDistinguishedName."""
        return x509.Name(
            [
                x509.RelativeDistinguishedName([x509.NameAttribute(ATTRIBUTE_OIDS[part.type], part.value)])
                for part in self.subject
            ]
        )


class CrossSpec(_Part):
    """A root's key, certified by another root. subject, issuer: slugs, in this file or made before.

    Two of them, each way, are the link certificates of a key rollover: OldWithNew and NewWithOld (RFC 4210 s4.4).
    """

    subject: _Slug
    issuer: _Slug
    profile: _Line = "cross-ca"

    @model_validator(mode="after")
    def _two(self) -> "CrossSpec":
        if self.subject == self.issuer:
            raise ValueError("a root does not cross-certify itself")
        return self


class CeremonyFile(_Part):
    """Everything that the ceremony will do.

    approvals: how many custodians must approve this file, where that is more than their set's own threshold.
    retires: issuing authorities that issue nothing more after it but what their revocation lists and answers need.
    """

    title: _Line
    location: _Line
    participants: Annotated[tuple[Participant, ...], Field(strict=False, min_length=1)]
    publication_url: _Line
    authorities: Annotated[tuple[AuthoritySpec, ...], Field(strict=False, max_length=16)] = ()
    cross_certificates: Annotated[tuple[CrossSpec, ...], Field(strict=False, max_length=16)] = ()
    retires: Annotated[tuple[_Slug, ...], Field(strict=False, max_length=16)] = ()
    approvals: Annotated[int, Field(ge=0, le=32)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> "CeremonyFile":
        slugs = [spec.slug for spec in self.authorities]
        if not (self.authorities or self.cross_certificates or self.retires):
            raise ValueError("nothing would be made")
        if set(self.retires) & set(slugs) or len(set(self.retires)) != len(self.retires):
            raise ValueError("retires: made in this file, or one twice")
        if len(set(slugs)) != len(slugs):
            raise ValueError("a slug stands twice")
        if SELF in slugs:
            raise ValueError("no authority can have the slug self")
        for index, spec in enumerate(self.authorities):
            if spec.issuer in slugs[index:]:
                raise ValueError(f"{spec.slug}: its issuer must stand above it")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """A ceremony file that was understood. digest: SHA-256 over its octets, 64 hexadecimal digits."""

    content: CeremonyFile
    text: str
    digest: str


def parse_ceremony(octets: bytes) -> Ceremony:
    """A ceremony from the octets of its file. Raises: CeremonyRefused, with all faults."""
    try:
        text = octets.decode("utf-8")
        content = CeremonyFile.model_validate(tomllib.loads(text))
        for spec in content.authorities:
            spec.name.public_bytes()
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}" for fault in error.errors()
        ]
        raise CeremonyRefused("\n".join(faults)) from error
    except ValueError as error:  # not UTF-8, not TOML, or a value that no name can hold
        raise CeremonyRefused(str(error)) from error
    return Ceremony(content=content, text=text, digest=sha256(octets).hexdigest())
