"""What a request must pass before a certificate is drawn up: one ordered list."""

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca_core.authorities.model import STILL_ISSUED, AuthorityRole, AuthoritySigner
from ca_core.crl_shards.model import ShardLayout
from ca_core.issuance.errors import (
    IssuerNotValid,
    KeyRefused,
    PossessionNotProven,
    ProfileNotAllowed,
    RequestMalformed,
)
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.issuance.weak_keys import verify_strong_key
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import MlDsaPublicKey, key_algorithm_of, key_digest, spki_octets
from ca_core.profiles.model import Issuer, Profile, Source, SubjectAlternativeNames, SubjectDirectoryAttributes

_REQUEST_ID = re.compile(r"[!-~]{1,64}")
_ACTOR = re.compile(r"[!-~]{1,128}")
_INTERNAL_ID = re.compile(r"[!-~]{1,64}")
SIXTEEN_DIGITS = re.compile(r"[0-9]{16}")
_FOUR_DIGITS = re.compile(r"[0-9]{4}")
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_MAX_DNS_NAMES = 32
_MAX_COMMON_NAME = 64
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_CSR_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, kw_only=True)  # without slots: what is derived from it is worked out once
class Candidate:
    """A request beside the profile and the authority that it names. crl_shards: how its serials are dealt out.
    origin: the certificate that it is derived from."""

    request: IssuanceRequest
    profile: Profile
    signer: AuthoritySigner
    now: datetime
    crl_shards: ShardLayout | None = None
    origin: IssuedCertificate | None = None

    @property
    def ends_by(self) -> datetime | None:
        """When the certificate that it is derived from ends."""
        return None if self.origin is None else self.origin.certificate.not_valid_after_utc

    @cached_property
    def key_digest(self) -> str:
        """SHA-256 over the subject's key."""
        return key_digest(self.request.public_key)

    @cached_property
    def digest(self) -> str:
        """The request's digest."""
        return self.request.digest

    @cached_property
    def holder(self) -> str:
        """Who holds the key, as a digest of 64 hexadecimal digits: a key is certified again for nobody else."""
        request = self.request
        members = [self.signer.slug, request.person_id, request.subject_serial_number, request.common_name]
        return sha256(json.dumps(members, ensure_ascii=True).encode("ascii")).hexdigest()


def verify_request_id(request_id: str) -> None:
    """Raises: RequestMalformed."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise RequestMalformed("request_id")


def verify_candidate(candidate: Candidate) -> None:
    """Runs every check of CHECKS in their order. Raises: IssuanceRefused."""
    for check in CHECKS:
        check(candidate)


def _profile_is_allowed(candidate: Candidate) -> None:
    profile, signer = candidate.profile, candidate.signer
    if profile.issuer is not Issuer.SELF and profile.name not in signer.profiles:
        raise ProfileNotAllowed(f"{signer.slug} does not issue {profile.name}")
    wanted = {Issuer.SELF: AuthorityRole.ROOT, Issuer.ROOT: AuthorityRole.ROOT, Issuer.ISSUING: AuthorityRole.ISSUING}
    if profile.issuer is not Issuer.ANY and signer.role is not wanted[profile.issuer]:
        raise ProfileNotAllowed(f"{profile.name} is not issued by a {signer.role}")


def _issuer_is_valid(candidate: Candidate) -> None:
    certificate = candidate.signer.certificate
    if candidate.profile.issuer is Issuer.SELF:
        if certificate is not None:
            raise ProfileNotAllowed("the root has its certificate already")
        if spki_octets(candidate.request.public_key) != spki_octets(candidate.signer.public_key):
            raise RequestMalformed("public_key: a root certifies its own key")
        return
    if certificate is None:
        raise IssuerNotValid("the authority has no certificate yet")
    if not certificate.not_valid_before_utc <= candidate.now <= certificate.not_valid_after_utc:
        raise IssuerNotValid("the authority's certificate is not valid now")
    if not candidate.signer.is_good and candidate.profile.name not in STILL_ISSUED:
        raise IssuerNotValid("the authority's certificate is revoked or suspended")


def _fields_fit_the_profile(candidate: Candidate) -> None:
    request, profile = candidate.request, candidate.profile
    wanted = {
        "subject_serial_number": profile.uses(Source.SERIAL_NUMBER),
        "common_name": profile.uses(Source.COMMON_NAME),
        "national_id_last4": profile.has(SubjectDirectoryAttributes),
        "dns_names": profile.has(SubjectAlternativeNames),
        "subject_name": profile.subject.from_request,
        "person_id": profile.person,
        "card_number": profile.person,
        "derived_from": bool(profile.derived_from),
    }
    for field, is_wanted in wanted.items():
        value = getattr(request, field)
        if (value is not None and value != ()) != is_wanted:
            raise RequestMalformed(f"{field}: {'missing' if is_wanted else 'not used by the profile'}")


def _fields_are_well_formed(candidate: Candidate) -> None:
    request = candidate.request
    patterns = (
        ("actor", request.actor, _ACTOR),
        ("subject_serial_number", request.subject_serial_number, SIXTEEN_DIGITS),
        ("national_id_last4", request.national_id_last4, _FOUR_DIGITS),
        ("person_id", request.person_id, _INTERNAL_ID),
        ("card_number", request.card_number, SIXTEEN_DIGITS),
        *(("dns_names", name, DNS_NAME) for name in request.dns_names),
    )
    for field, value, pattern in patterns:
        if value is not None and not pattern.fullmatch(value):
            raise RequestMalformed(field)
    if len(request.dns_names) > _MAX_DNS_NAMES or len(set(request.dns_names)) != len(request.dns_names):
        raise RequestMalformed("dns_names: too many, or one twice")
    if request.common_name is not None and not is_a_name(request.common_name):
        raise RequestMalformed("common_name")


def is_a_name(text: str) -> bool:
    """Whether a common name is well formed.

    1-64 characters, none of them control, format, surrogate or separator characters, no white space at the ends.
    """
    return (
        0 < len(text) <= _MAX_COMMON_NAME
        and text == text.strip()
        and not any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text)
    )


def _key_algorithm_is_allowed(candidate: Candidate) -> None:
    try:
        algorithm = key_algorithm_of(candidate.request.public_key)
    except KeyAlgorithmRefused as error:
        raise KeyRefused(error.detail) from error
    if algorithm not in candidate.profile.key_algorithms:
        raise KeyRefused(f"{algorithm} is not for {candidate.profile.name}")


def _key_is_strong(candidate: Candidate) -> None:
    verify_strong_key(candidate.request.public_key)


def _possession_is_proven(candidate: Candidate) -> None:
    csr = candidate.request.csr
    if csr is None:
        if candidate.profile.proof_of_possession:
            raise PossessionNotProven("no certification request")
        return
    try:
        same_key = csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki_octets(
            candidate.request.public_key
        )
        hashed = isinstance(candidate.request.public_key, MlDsaPublicKey) or isinstance(
            csr.signature_hash_algorithm, _CSR_HASHES
        )
        accepted = same_key and hashed and csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PossessionNotProven("the certification request cannot be read") from error
    if not accepted:
        raise PossessionNotProven("another key, a refused hash, or a signature that does not verify")


CHECKS: tuple[Callable[[Candidate], None], ...] = (
    _profile_is_allowed,
    _issuer_is_valid,
    _fields_fit_the_profile,
    _fields_are_well_formed,
    _key_algorithm_is_allowed,
    _key_is_strong,
    _possession_is_proven,
)
