"""A root and two generations of one authority with the byte-identical name, made with `cryptography` alone.

Certificates are written down in memory; nothing here uses the issuance that it helps to test around.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha1

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.crl_shards import shard_named_by
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Transaction
from ca_core.keys.errors import KeyExists, KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PrivateKey, key_identifier
from ca_core.profiles.oids import (
    ASSURANCE_LEVEL_3,
    CITIZEN_AUTHENTICATION_POLICY,
    CITIZEN_ENCRYPTION_POLICY,
    CITIZEN_SIGNATURE_POLICY,
)
from support.fakes import START

ROOT_NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "行政院"),
        x509.NameAttribute(NameOID.COMMON_NAME, "測試總管理中心"),
    ]
)
CITIZEN_CA_NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "行政院"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "內政部憑證管理中心"),
    ]
)
BEGIN = START - timedelta(days=30)
FIRST_SERIAL = 0x7A0000000000000000000000000001
ALL_PROFILES = frozenset(
    {
        "citizen-authentication",
        "citizen-signature",
        "citizen-encryption",
        "citizen-legacy-signature",
        "citizen-legacy-encryption",
        "ocsp-responder",
        "internal-tls",
    }
)
_USAGES = {
    "citizen-authentication": ("digital_signature",),
    "citizen-signature": ("content_commitment",),
    "citizen-encryption": ("key_agreement",),
    "citizen-legacy-signature": ("digital_signature", "content_commitment"),
    "citizen-legacy-encryption": ("key_encipherment", "data_encipherment"),
    "ocsp-responder": ("digital_signature",),
    "internal-tls": ("digital_signature",),
}
_POLICIES = {
    "citizen-authentication": (ASSURANCE_LEVEL_3, CITIZEN_AUTHENTICATION_POLICY),
    "citizen-signature": (ASSURANCE_LEVEL_3, CITIZEN_SIGNATURE_POLICY),
    "citizen-encryption": (ASSURANCE_LEVEL_3, CITIZEN_ENCRYPTION_POLICY),
    "citizen-legacy-signature": (ASSURANCE_LEVEL_3,),
    "citizen-legacy-encryption": (ASSURANCE_LEVEL_3,),
}
_PURPOSES = {
    "citizen-authentication": ExtendedKeyUsageOID.CLIENT_AUTH,
    "ocsp-responder": ExtendedKeyUsageOID.OCSP_SIGNING,
    "internal-tls": ExtendedKeyUsageOID.SERVER_AUTH,
}
_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_usage(*bits: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{bit: bit in bits for bit in _BITS})


class MemoryKeys:
    """A KeyStore that forgets everything with the test."""

    def __init__(self) -> None:
        self.kept: dict[str, PrivateKey] = {}

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        if label in self.kept:
            raise KeyExists(label)
        if algorithm is not KeyAlgorithm.P_256:
            raise AssertionError("the tests' keys are P-256")
        self.kept[label] = new_key()
        return self.kept[label]

    def private_key(self, label: str) -> PrivateKey:
        if label not in self.kept:
            raise KeyNotFound(label)
        return self.kept[label]


class MemoryAuthorities:
    """As the registry answers, from a list."""

    def __init__(self) -> None:
        self.kept: list[Authority] = []

    def all(self) -> tuple[Authority, ...]:
        return tuple(self.kept)

    def by_slug(self, slug: str) -> Authority:
        for authority in self.kept:
            if authority.slug == slug:
                return authority
        raise AuthorityNotFound(slug)

    def by_id(self, authority_id: int) -> Authority:
        for authority in self.kept:
            if authority.id == authority_id:
                return authority
        raise AuthorityNotFound(str(authority_id))

    def by_key_hash(
        self, issuer_key_hash: bytes, algorithm: hashes.HashAlgorithm, issuer_name_hash: bytes | None = None
    ) -> Authority | None:
        for authority in self.kept:
            bits = authority.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            name = authority.certificate.subject.public_bytes()
            if _hash(algorithm, bits) == issuer_key_hash:
                return authority if issuer_name_hash in (None, _hash(algorithm, name)) else None
        return None


class MemoryCertificates:
    """As the certificate store answers, from a dictionary; its transactions are ignored."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], IssuedCertificate] = {}
        self.blocked: list[x509.Certificate] = []

    def find(self, tx: Transaction, authority_id: int, serial: int) -> IssuedCertificate | None:
        return self.kept.get((authority_id, serial))

    def derived_from(self, tx: Transaction, certificate_id: int) -> list[IssuedCertificate]:
        return [one for one in self.kept.values() if one.derived_from == certificate_id]

    def block_key_of(
        self, tx: Transaction, certificate: x509.Certificate, *, reason: str, actor: str, now: datetime
    ) -> None:
        self.blocked.append(certificate)


@dataclass
class SmallPki:
    """Authorities `root-g1`, `citizen-g2`, `citizen-g3`, their keys, and what was issued."""

    keys: MemoryKeys = field(default_factory=MemoryKeys)
    authorities: MemoryAuthorities = field(default_factory=MemoryAuthorities)
    certificates: MemoryCertificates = field(default_factory=MemoryCertificates)

    def __post_init__(self) -> None:
        root = self.add_authority("root-g1", ROOT_NAME, parent=None)
        self.add_authority("citizen-g2", CITIZEN_CA_NAME, parent=root)
        self.add_authority("citizen-g3", CITIZEN_CA_NAME, parent=root)

    @property
    def root(self) -> Authority:
        return self.authorities.by_slug("root-g1")

    @property
    def g2(self) -> Authority:
        return self.authorities.by_slug("citizen-g2")

    @property
    def g3(self) -> Authority:
        return self.authorities.by_slug("citizen-g3")

    def add_authority(
        self,
        slug: str,
        name: x509.Name,
        *,
        parent: Authority | None,
        is_ca: bool = True,
        usage: tuple[str, ...] = ("digital_signature", "key_cert_sign", "crl_sign"),
        not_after: datetime = START + timedelta(days=3650),
        extra: tuple[x509.ExtensionType, ...] = (),
    ) -> Authority:
        key = self.keys.generate(slug, KeyAlgorithm.P_256)
        issuer_key = key if parent is None else self.keys.private_key(parent.key_label)
        issuer_name = name if parent is None else parent.certificate.subject
        authority_id = len(self.authorities.kept) + 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer_name)
            .public_key(key.public_key())
            .serial_number(FIRST_SERIAL + authority_id)
            .not_valid_before(BEGIN)
            .not_valid_after(not_after)
            .add_extension(x509.AuthorityKeyIdentifier(key_identifier(issuer_key.public_key()), None, None), False)
            .add_extension(x509.SubjectKeyIdentifier(key_identifier(key.public_key())), False)
            .add_extension(key_usage(*usage), True)
            .add_extension(x509.BasicConstraints(is_ca, 0 if is_ca and parent is not None else None), True)
        )
        for value in extra:
            builder = builder.add_extension(value, False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        authority = Authority(
            id=authority_id,
            slug=slug,
            role=AuthorityRole.ROOT if parent is None else AuthorityRole.ISSUING,
            certificate=certificate,
            certificate_id=9_000 + authority_id,
            key_label=slug,
            parent_id=None if parent is None else parent.id,
            key_identifier=key_identifier(key.public_key()),
            profiles=ALL_PROFILES if parent is not None else frozenset({"issuing-ca", "ocsp-responder"}),
        )
        self.authorities.kept.append(authority)
        return authority

    def issue(
        self,
        authority: Authority,
        profile: str = "citizen-authentication",
        *,
        serial: int | None = None,
        not_before: datetime = START - timedelta(days=1),
        not_after: datetime = START + timedelta(days=1825),
        record: bool = True,
        recorded_profile: str | None = None,
        signer: PrivateKey | None = None,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        key: PrivateKey | None = None,
    ) -> IssuedCertificate:
        """A certificate of that profile; recorded, unless told otherwise."""
        number = len(self.certificates.kept) + 1
        chosen = FIRST_SERIAL + 1_000 + number if serial is None else serial
        subject_key = new_key() if key is None else key
        signing_key = self.keys.private_key(authority.key_label) if signer is None else signer
        name = [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
            x509.NameAttribute(NameOID.COMMON_NAME, "王小明"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{number:016d}"),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(name))
            .issuer_name(authority.certificate.subject)
            .public_key(subject_key.public_key())
            .serial_number(chosen)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.AuthorityKeyIdentifier(authority.key_identifier, None, None), False)
            .add_extension(x509.SubjectKeyIdentifier(key_identifier(subject_key.public_key())), False)
            .add_extension(key_usage(*_USAGES[profile]), True)
        )
        if profile in _PURPOSES:
            builder = builder.add_extension(x509.ExtendedKeyUsage([_PURPOSES[profile]]), False)
        if profile in _POLICIES:
            policies = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in _POLICIES[profile]]
            builder = builder.add_extension(x509.CertificatePolicies(policies), False)
        if profile == "ocsp-responder":
            builder = builder.add_extension(x509.OCSPNoCheck(), False)
        for value, critical in extra:
            builder = builder.add_extension(value, critical)
        certificate = builder.sign(signing_key, hashes.SHA256())
        issued = IssuedCertificate(
            certificate_id=number,
            authority_id=authority.id,
            serial=chosen,
            certificate=certificate,
            crl_shard=shard_named_by(certificate),
            profile=recorded_profile or profile,
            person_id=f"person-{number}",
            card_number=f"{number:016d}",
        )
        if record:
            if (authority.id, chosen) in self.certificates.kept:
                raise AssertionError("that serial is taken")
            self.certificates.kept[authority.id, chosen] = issued
        return issued


@dataclass(frozen=True)
class RequestIssuer:
    """The issuance that `Responders.ensure` needs, over a SmallPki: certificates of 30 days."""

    pki: SmallPki
    clock: Clock

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        now = self.clock()
        return self.pki.issue(
            self.pki.authorities.by_slug(request.authority),
            request.profile,
            key=self.pki.keys.private_key(request.request_id),
            not_before=now,
            not_after=now + timedelta(days=30),
        )


def der_of(issued: IssuedCertificate) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


def _hash(algorithm: hashes.HashAlgorithm, octets: bytes) -> bytes:
    if isinstance(algorithm, hashes.SHA1):
        return sha1(octets, usedforsecurity=False).digest()
    state = hashes.Hash(algorithm)
    state.update(octets)
    return state.finalize()
