"""The two texts of a ceremony: what will be made, and what was. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca_core.authorities.ceremony_file import AuthoritySpec, Ceremony, CrossSpec
from ca_core.authorities.model import StoredCeremony
from ca_core.kernel.clock import TAIPEI

_ACCESS = {AuthorityInformationAccessOID.CA_ISSUERS: "caIssuers", AuthorityInformationAccessOID.OCSP: "OCSP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeAuthority:
    """An authority of the file beside its certificate (in a rehearsal, signed by a throwaway key)."""

    spec: AuthoritySpec
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCross:
    """A cross-certificate of the file (in a rehearsal, signed by a throwaway key)."""

    spec: CrossSpec
    certificate: x509.Certificate


def review_text(ceremony: Ceremony, rehearsed: Iterable[MadeAuthority], crossed: Iterable[MadeCross]) -> str:
    """For those who approve the file. Keys, serials and times are the rehearsal's and are left out or said so."""
    return "\n".join(
        [
            *_heading(ceremony),
            "",
            "Will be made, if the file is run now:",
            *(line for authority in rehearsed for line in _authority(authority)),
            *(line for cross in crossed for line in _cross(cross)),
            *_retired(ceremony),
            "",
        ]
    )


def transcript_text(
    ceremony: Ceremony,
    stored: StoredCeremony,
    made: Iterable[MadeAuthority],
    crossed: Iterable[MadeCross],
    approved_by: Iterable[str],
    *,
    completed_at: datetime,
    completed_by: str,
) -> str:
    """For the safe: what was made, when, by whom, with fingerprints and the certificates themselves."""
    return "\n".join(
        [
            *_heading(ceremony),
            f"Begun: {_time(stored.started_at)} by {stored.held_by}",
            f"Completed: {_time(completed_at)} by {completed_by}",
            *(f"Approved by custodian: {name}" for name in approved_by),
            "",
            "Made:",
            *(line for authority in made for line in [*_authority(authority), *_identity(authority.certificate)]),
            *(line for cross in crossed for line in [*_cross(cross), *_identity(cross.certificate)]),
            *_retired(ceremony),
        ]
    )


def _heading(ceremony: Ceremony) -> list[str]:
    content = ceremony.content
    return [
        f"Key ceremony: {content.title}",
        f"File SHA-256: {ceremony.digest}",
        f"Location: {content.location}",
        *(f"Participant: {person.name} ({person.role})" for person in content.participants),
        f"Publication URL: {content.publication_url}",
        *([f"Approvals wanted: {content.approvals}"] if content.approvals else []),
    ]


def _authority(authority: MadeAuthority) -> Iterator[str]:
    spec, certificate = authority.spec, authority.certificate
    yield ""
    yield f"Authority {spec.slug}"
    yield f"  Subject: {_name(certificate.subject)}"
    yield f"  Issuer: {_name(certificate.issuer)} ({spec.issuer})"
    yield f"  Key: {spec.key_algorithm}, label {spec.slug}"
    yield f"  Profile: {spec.profile}"
    yield f"  May issue: {', '.join(spec.issues)}"
    yield f"  Valid: {_time(certificate.not_valid_before_utc)} to {_time(certificate.not_valid_after_utc)}"
    for extension in certificate.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier):
            yield f"  Extension{' (critical)' if extension.critical else ''}: {_value(extension.value)}"


def _cross(cross: MadeCross) -> Iterator[str]:
    certificate = cross.certificate
    yield ""
    yield f"Cross-certificate for {cross.spec.subject} by {cross.spec.issuer}"
    yield f"  Subject: {_name(certificate.subject)}"
    yield f"  Issuer: {_name(certificate.issuer)}"
    yield f"  Profile: {cross.spec.profile}"
    yield f"  Valid: {_time(certificate.not_valid_before_utc)} to {_time(certificate.not_valid_after_utc)}"


def _retired(ceremony: Ceremony) -> Iterator[str]:
    for slug in ceremony.content.retires:
        yield ""
        yield f"Authority {slug} issues nothing more but its OCSP responders' certificates"


def _identity(certificate: x509.Certificate) -> Iterator[str]:
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    yield f"  Serial: {certificate.serial_number:032x}"
    yield f"  Key identifier: {identifier.hex()}"
    yield f"  Certificate SHA-256: {certificate.fingerprint(hashes.SHA256()).hex()}"
    yield certificate.public_bytes(Encoding.PEM).decode("ascii").rstrip()


def _name(name: x509.Name) -> str:
    return ", ".join(f"{attribute.rfc4514_attribute_name}={attribute.value!s}" for attribute in name)


def _value(value: x509.ExtensionType) -> str:
    match value:
        case x509.KeyUsage():
            bits = ("digital_signature", "content_commitment", "key_cert_sign", "crl_sign")
            return f"keyUsage {', '.join(bit for bit in bits if getattr(value, bit))}"
        case x509.BasicConstraints():
            return f"basicConstraints CA, path length {value.path_length}"
        case x509.CertificatePolicies():
            return f"certificatePolicies {', '.join(policy.policy_identifier.dotted_string for policy in value)}"
        case x509.CRLDistributionPoints():
            return f"cRLDistributionPoints {', '.join(uri.value for point in value for uri in point.full_name or [])}"
        case x509.AuthorityInformationAccess():
            places = (f"{_ACCESS[place.access_method]} {place.access_location.value}" for place in value)
            return f"authorityInfoAccess {', '.join(places)}"
        case _:
            return f"{value.oid.dotted_string} {value.public_bytes().hex()}"


def _time(moment: datetime) -> str:
    return moment.astimezone(TAIPEI).isoformat(timespec="seconds")
