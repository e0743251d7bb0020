"""A certificate before it is signed: everything the authority's key will sign, and nothing it has."""

import threading
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.issuance.checks import Candidate
from ca_core.issuance.errors import RequestMalformed
from ca_core.issuance.extensions import IssuerFacts, build_extension
from ca_core.issuance.model import IssuanceRequest
from ca_core.issuance.validity import validity_of
from ca_core.kernel.rng import Rng
from ca_core.keys.model import KeyAlgorithm, MlDsaPublicKey, PrivateKey, PublicKey, key_algorithm_of, new_private_key
from ca_core.profiles.model import Issuer, Profile, Source, SubjectAttribute

SERIAL_BYTES = 16
_POSITIVE = (1 << (8 * SERIAL_BYTES - 1)) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Signed by a throwaway key, so that a linter can read it as a certificate; `tbs` is what counts.

    preview is empty where the draft was spliced from a linted template.
    """

    tbs: bytes
    preview: bytes
    serial: int


class ThrowawayKeys:
    """One key for each signature algorithm, made at first use, that no certificate names and nobody trusts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[KeyAlgorithm, PrivateKey] = {}

    def like(self, key: PublicKey) -> PrivateKey:
        """A key with the same signature algorithm (for RSA, of the smallest size: the identifier is the same)."""
        algorithm = KeyAlgorithm.RSA_2048 if isinstance(key, rsa.RSAPublicKey) else key_algorithm_of(key)
        with self._lock:
            if algorithm not in self._keys:
                self._keys[algorithm] = new_private_key(algorithm)
            return self._keys[algorithm]


def signature_hash(key: PublicKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """SHA-256, but SHA-384 for P-384, and none for ML-DSA, which hashes by itself."""
    if isinstance(key, MlDsaPublicKey):
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    key_algorithm_of(key)
    return hashes.SHA256()


def new_serial(rng: Rng) -> int:
    """A positive number of at most 16 octets, 127 bits of it unpredictable."""
    while True:
        serial = int.from_bytes(rng(SERIAL_BYTES), "big") & _POSITIVE
        if serial:
            return serial


def draw_up(candidate: Candidate, publication_url: str, throwaway: PrivateKey, rng: Rng) -> Draft:
    """The certificate by its profile, with a new serial, for a checked candidate. Raises: IssuerNotValid."""
    request, profile, signer = candidate.request, candidate.profile, candidate.signer
    issued_by = None if profile.issuer is Issuer.SELF else signer.certificate
    issuer_not_after = None if issued_by is None else issued_by.not_valid_after_utc
    not_before, not_after = validity_of(profile.validity, candidate.now, issuer_not_after, candidate.ends_by)
    issuer_name = None if issued_by is None else issued_by.subject
    subject = subject_name(profile, request, issuer_name)
    serial = new_serial(rng)
    facts = IssuerFacts(
        slug=signer.slug,
        key_identifier=signer.key_identifier,
        publication_url=publication_url,
        crl_shard=None if candidate.crl_shards is None else candidate.crl_shards.shard_of(serial),
    )
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial)
        .issuer_name(subject if issuer_name is None else issuer_name)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .subject_name(subject)
        .public_key(request.public_key)
    )
    for extension in profile.extensions:
        builder = builder.add_extension(build_extension(extension, request, facts), extension.critical)
    preview = builder.sign(throwaway, signature_hash(signer.public_key))
    return Draft(
        tbs=preview.tbs_certificate_bytes,
        preview=preview.public_bytes(Encoding.DER),
        serial=serial,
    )


def subject_name(profile: Profile, request: IssuanceRequest, issuer: x509.Name | None) -> x509.Name:
    """The subject by the profile: one attribute a RelativeDistinguishedName."""
    if profile.subject.from_request:
        if request.subject_name is None:
            raise RequestMalformed("subject_name: missing")
        return request.subject_name
    attributes = [attribute for rule in profile.subject.attributes for attribute in _attributes(rule, request, issuer)]
    return x509.Name([x509.RelativeDistinguishedName([attribute]) for attribute in attributes])


def _attributes(
    rule: SubjectAttribute, request: IssuanceRequest, issuer: x509.Name | None
) -> list[x509.NameAttribute[str | bytes]]:
    if rule.source is Source.ISSUER:
        return [] if issuer is None else list(issuer.get_attributes_for_oid(rule.type.oid))
    values = {Source.COMMON_NAME: request.common_name, Source.SERIAL_NUMBER: request.subject_serial_number}
    value = rule.value if rule.source is None else values[rule.source]
    if value is None:
        raise RequestMalformed(f"{rule.type}: missing")
    return [_name_attribute(rule.type.oid, value)]


def _name_attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str | bytes]:
    """cryptography counts the 64 of a common name in octets, X.520 in characters; `checks` has counted those.

    Its own way around the count warns each time, which a name of 22 Chinese characters does not deserve.
    """
    attribute: x509.NameAttribute[str | bytes] = x509.NameAttribute(oid, "TW")
    attribute._value = value
    return attribute
