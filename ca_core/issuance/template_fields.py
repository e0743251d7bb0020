"""The variable fields of a template: how each is filled for a request, and how it is read back and judged. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Protocol

from ca_core.crl_shards.model import CrlShard, ShardLayout
from ca_core.issuance import der
from ca_core.issuance.checks import DNS_NAME, SIXTEEN_DIGITS, is_a_name
from ca_core.issuance.errors import IssuanceFault, LintRefused, RequestMalformed
from ca_core.issuance.model import IssuanceRequest
from ca_core.profiles import model as profile_model
from ca_core.profiles.model import CrlDistributionPoints, Profile, Source

_KEY_IDENTIFIER_BYTES = 20
_LAST4_BYTES = 4
_DNS_NAME_TAG = 0x82


@dataclass(frozen=True, slots=True)
class Spliced:
    """What the variable fields of one certificate depend on."""

    request: IssuanceRequest
    spki: bytes
    serial: int


class ExtensionSlot(Protocol):
    """One extension of a certificate, in its place."""

    def fill(self, made: Spliced) -> bytes:
        """The whole Extension for a certificate."""
        ...

    def verify(self, octets: bytes, made: Spliced) -> None:
        """Judges the whole Extension as read back. Raises: LintRefused, ValueError where it is not DER."""
        ...


@dataclass(frozen=True, slots=True)
class FixedExtension:
    """The same octets in every certificate."""

    octets: bytes

    def fill(self, made: Spliced) -> bytes:
        return self.octets

    def verify(self, octets: bytes, made: Spliced) -> None:
        if octets != self.octets:
            raise LintRefused("TEMPLATE extension: not the template's")


@dataclass(frozen=True, slots=True)
class KeyIdentifierExtension:
    """subjectKeyIdentifier: all but its last 20 octets are fixed."""

    prefix: bytes

    def fill(self, made: Spliced) -> bytes:
        return self.prefix + _key_identifier(made.spki)

    def verify(self, octets: bytes, made: Spliced) -> None:
        if octets[:-_KEY_IDENTIFIER_BYTES] != self.prefix or octets[-_KEY_IDENTIFIER_BYTES:] != _key_identifier(
            made.spki
        ):
            raise LintRefused("TEMPLATE subjectKeyIdentifier: not the key's")


@dataclass(frozen=True, slots=True)
class Last4Extension:
    """subjectDirectoryAttributes: all but the four digits at the end are fixed."""

    prefix: bytes

    def fill(self, made: Spliced) -> bytes:
        if made.request.national_id_last4 is None:
            raise RequestMalformed("national_id_last4: missing")
        return self.prefix + made.request.national_id_last4.encode("ascii")

    def verify(self, octets: bytes, made: Spliced) -> None:
        digits = octets[-_LAST4_BYTES:]
        if (
            octets[:-_LAST4_BYTES] != self.prefix
            or not digits.isdigit()
            or digits != (made.request.national_id_last4 or "").encode("ascii")
        ):
            raise LintRefused("TEMPLATE subjectDirectoryAttributes: not four digits, or not the request's")


@dataclass(frozen=True, slots=True)
class DnsNamesExtension:
    """subjectAltName: the extension's identifier and criticality are fixed."""

    header: bytes

    def fill(self, made: Spliced) -> bytes:
        names = b"".join(der.tlv(_DNS_NAME_TAG, name.encode("ascii")) for name in made.request.dns_names)
        return der.tlv(der.SEQUENCE, self.header + der.tlv(der.OCTET_STRING, der.tlv(der.SEQUENCE, names)))

    def verify(self, octets: bytes, made: Spliced) -> None:
        *header, value = der.children(der.contents(octets, der.SEQUENCE))
        names = der.children(der.contents(der.contents(value, der.OCTET_STRING), der.SEQUENCE))
        found = tuple(der.value_of(name).decode("latin-1") for name in names)
        if (
            b"".join(header) != self.header
            or not found
            or any(name[0] != _DNS_NAME_TAG for name in names)
            or not all(DNS_NAME.fullmatch(name) for name in found)
            or found != made.request.dns_names
        ):
            raise LintRefused("TEMPLATE subjectAltName: not host names, or not the request's")


@dataclass(frozen=True, slots=True)
class ShardedExtension:
    """cRLDistributionPoints that name a shard: one form for each shard of a layout."""

    layout: ShardLayout
    octets: Mapping[int, bytes]

    def fill(self, made: Spliced) -> bytes:
        return self.octets[self.layout.shard_of(made.serial).number]

    def verify(self, octets: bytes, made: Spliced) -> None:
        if octets != self.fill(made):
            raise LintRefused("TEMPLATE cRLDistributionPoints: not the shard's")


ShardedOctets = Callable[[CrlDistributionPoints, CrlShard], bytes]
"""The value of that extension for a shard, in DER."""


def extension_slots(
    profile: Profile,
    lists: Sequence[Sequence[bytes]],
    spki: bytes,
    shards: ShardLayout | None,
    sharded_octets: ShardedOctets,
) -> tuple[ExtensionSlot, ...]:
    """Slots for the extensions of a profile, from those of its boundary cases, of which the first has that key.

    Raises: IssuanceFault, where an extension that should be fixed is not.
    """
    if any(len(extensions) != len(profile.extensions) for extensions in lists):
        raise IssuanceFault(f"{profile.name}: an extension is there or not, by the request")
    slots: list[ExtensionSlot] = []
    for index, rule in enumerate(profile.extensions):
        cases = [extensions[index] for extensions in lists]
        if (
            isinstance(rule, CrlDistributionPoints)
            and shards is not None
            and any("{shard}" in uri for uri in rule.uris)
        ):
            header = b"".join(der.children(der.contents(cases[0], der.SEQUENCE))[:-1])
            octets = {}
            for number in shards.numbers:
                value = der.tlv(der.OCTET_STRING, sharded_octets(rule, shards.shard(number)))
                octets[number] = der.tlv(der.SEQUENCE, header + value)
            slots.append(ShardedExtension(shards, octets))
        else:
            slots.append(_slot(profile, rule, cases, spki))
    return tuple(slots)


def _slot(profile: Profile, rule: profile_model.Extension, cases: Sequence[bytes], spki: bytes) -> ExtensionSlot:
    first = cases[0]
    match rule:
        case profile_model.SubjectKeyIdentifier():
            if not first.endswith(_key_identifier(spki)):
                raise IssuanceFault(f"{profile.name}: the key identifier does not stand at the extension's end")
            return KeyIdentifierExtension(first[:-_KEY_IDENTIFIER_BYTES])
        case profile_model.SubjectDirectoryAttributes():
            return Last4Extension(first[:-_LAST4_BYTES])
        case profile_model.SubjectAlternativeNames():
            return DnsNamesExtension(b"".join(der.children(der.contents(first, der.SEQUENCE))[:-1]))
        case _:
            if any(octets != first for octets in cases):
                raise IssuanceFault(f"{profile.name}: {rule.type} is not the same in every certificate")
            return FixedExtension(first)


@dataclass(frozen=True, slots=True)
class _Attribute:
    """A RelativeDistinguishedName: fixed octets, or type and tag of the one value that the request gives."""

    octets: bytes
    source: Source | None = None
    type: bytes = b""
    tag: int = 0


@dataclass(frozen=True, slots=True)
class NameSlots:
    """A subject: fixed and variable attributes in their order."""

    attributes: tuple[_Attribute, ...]

    @classmethod
    def of(cls, profile: Profile, subject: bytes) -> "NameSlots":
        """Raises: IssuanceFault, where the name has another shape than the profile's rules; ValueError."""
        found = der.children(der.contents(subject, der.SEQUENCE))
        rules = list(profile.subject.attributes)
        inherited = sum(rule.source is Source.ISSUER for rule in rules)
        if profile.subject.from_request or len(found) < len(rules) - inherited:
            raise IssuanceFault(f"{profile.name}: no template for its subject")
        attributes: list[_Attribute] = []
        position = 0
        for rule in rules:
            if rule.source is Source.ISSUER:  # none, one or several, the same in each certificate of this issuer
                oid = _oid(rule.type)
                while position < len(found) and _parsed(found[position])[0] == oid:
                    attributes.append(_Attribute(found[position]))
                    position += 1
                continue
            if position >= len(found):
                raise IssuanceFault(f"{profile.name}: no template for its subject")
            octets = found[position]
            position += 1
            if rule.source is None:
                attributes.append(_Attribute(octets))
            else:
                kind, value = _parsed(octets)
                attributes.append(_Attribute(octets, rule.source, kind, value[0]))
        if position != len(found):
            raise IssuanceFault(f"{profile.name}: no template for its subject")
        return cls(tuple(attributes))

    def fill(self, request: IssuanceRequest) -> bytes:
        """The whole Name. Raises: RequestMalformed."""
        return der.tlv(der.SEQUENCE, b"".join([_filled(attribute, request) for attribute in self.attributes]))

    def verify(self, octets: bytes, request: IssuanceRequest) -> None:
        """Raises: LintRefused; ValueError where it is not DER."""
        found = der.children(der.contents(octets, der.SEQUENCE))
        if len(found) != len(self.attributes):
            raise LintRefused("TEMPLATE subject: an attribute too many or too few")
        for attribute, part in zip(self.attributes, found, strict=True):
            if attribute.source is None:
                if part != attribute.octets:
                    raise LintRefused("TEMPLATE subject: not the template's")
                continue
            kind, value = _parsed(part)
            if kind != attribute.type or value[0] != attribute.tag:
                raise LintRefused("TEMPLATE subject: another attribute, or another kind of string")
            _verify_value(attribute.source, der.value_of(value).decode("utf-8"), request)


def _filled(attribute: _Attribute, request: IssuanceRequest) -> bytes:
    if attribute.source is None:
        return attribute.octets
    text = _wanted(attribute.source, request)
    value = der.tlv(attribute.tag, text.encode("utf-8"))
    return der.tlv(der.SET, der.tlv(der.SEQUENCE, attribute.type + value))


def _wanted(source: Source, request: IssuanceRequest) -> str:
    text = request.common_name if source is Source.COMMON_NAME else request.subject_serial_number
    if text is None:
        raise RequestMalformed(f"{source}: missing")
    return text


def _verify_value(source: Source, text: str, request: IssuanceRequest) -> None:
    well_formed = is_a_name(text) if source is Source.COMMON_NAME else SIXTEEN_DIGITS.fullmatch(text) is not None
    if not well_formed or text != _wanted(source, request):
        raise LintRefused(f"TEMPLATE subject, {source}: not well formed, or not the request's")


def _parsed(relative_name: bytes) -> tuple[bytes, bytes]:
    """Type and value, each whole, of a name's part with one attribute. Raises: ValueError."""
    kind, value = der.children(der.contents(der.contents(relative_name, der.SET), der.SEQUENCE))
    return kind, value


def _oid(kind: profile_model.AttributeType) -> bytes:
    arcs = [int(arc) for arc in kind.oid.dotted_string.split(".")]  # all of them are 2.5.4.n, n below 128
    return der.tlv(der.OBJECT_IDENTIFIER, bytes((arcs[0] * 40 + arcs[1], *arcs[2:])))


def _key_identifier(spki: bytes) -> bytes:
    """SHA-1 over the public key's BIT STRING without its count of unused bits: RFC 5280 s4.2.1.2, method 1."""
    _, bits = der.children(der.contents(spki, der.SEQUENCE))
    return sha1(der.value_of(bits)[1:], usedforsecurity=False).digest()
