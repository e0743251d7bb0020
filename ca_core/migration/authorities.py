"""Taking over an authority: its certificate, verified under an authority that is here (or, of a root, under itself)."""

from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.authorities.imported import ImportedAuthorities
from ca_core.authorities.model import RESERVED_ENDING, Authority, AuthorityRole
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.issuance.handed_over import is_issued_by, read_certificate
from ca_core.issuance.past import ForeignCertificate, PastCertificates
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import PublicKey, key_algorithm_of, key_identifier, spki_octets, verify_label
from ca_core.keys.ports import KeyStore
from ca_core.migration.errors import AuthorityRefused

_RESPONDERS = frozenset({"ocsp-responder"})
_PROFILES = {AuthorityRole.ROOT: "root-ca", AuthorityRole.ISSUING: "issuing-ca"}


class AuthorityImport:
    """Records authorities that other houses founded. A root that is imported is trusted for nothing before the settings
    name it."""

    def __init__(
        self,
        database: Database,
        registry: AuthorityRegistry,
        past: PastCertificates,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._past = past
        self._audit = audit
        self._clock = clock
        self._imported = ImportedAuthorities()

    def add(self, octets: bytes, *, slug: str, actor: str, key_label: str | None = None) -> Authority:
        """The authority. The same certificate under the same slug again changes nothing.

        1. A CA's certificate with a key identifier that is its key's. 2. Its issuer is here, found by key, and signed
        it; or it signed itself. 3. Key, slug and serial are free. key_label: of its key in the key store, where it is
        there; default: the slug. Raises: AuthorityRefused, KeyLabelRefused.
        """
        certificate, public_key = _parse(octets)
        verify_label(slug)
        if slug.endswith(RESERVED_ENDING):
            raise AuthorityRefused(f"a slug does not end in {RESERVED_ENDING}")
        for known in self._registry.all():
            if known.certificate == certificate and known.slug == slug:
                return known
            if known.key_identifier == key_identifier(public_key):
                raise AuthorityRefused(f"its key is {known.slug}'s")
        parent = self._parent(certificate, public_key)
        role = AuthorityRole.ROOT if parent is None else AuthorityRole.ISSUING
        now = self._clock()
        try:
            with self._database.write() as tx:
                authority_id = self._imported.add(
                    tx,
                    certificate,
                    public_key,
                    slug=slug,
                    key_label=key_label or slug,
                    role=role,
                    parent_id=None if parent is None else parent.id,
                    actor=actor,
                    now=now,
                )
                issuer_id = authority_id if parent is None else parent.id
                own = ForeignCertificate(
                    authority_id=issuer_id,
                    certificate=certificate,
                    der=certificate.public_bytes(Encoding.DER),
                    public_key=public_key,
                    profile=_PROFILES[role],
                    person_id=None,
                    card_number=None,
                    holder=sha256(f"authority {slug}".encode("ascii")).hexdigest(),
                )
                self._past.add_all(tx, [own], actor=actor, now=now)
                recorded = self._past.find(tx, issuer_id, certificate.serial_number)
                if recorded is None:
                    raise TypeError("a certificate that was just written is not there")
                self._imported.activate(tx, authority_id, certificate, recorded.certificate_id, now)
                self._audit.append(tx, _event("authority.imported", authority_id, certificate, actor))
        except Conflict as error:
            raise AuthorityRefused("its slug, key label, certificate or serial is taken") from error
        self._registry.forget()
        return self._registry.by_slug(slug)

    def permit_responders(self, slug: str, keys: KeyStore, *, actor: str) -> bool:
        """Lets an imported authority certify its OCSP responders here, once all its certificates are in: for those that
        are not, the answer is then `unknown`. False where it was let before.

        keys: the store where the authority's key must be. Raises: AuthorityNotFound; AuthorityNotImported;
        AuthorityRefused, for another key under its label; KeyNotFound; KeyStoreFault; Unavailable. Then nothing was
        written.
        """
        authority = self._registry.by_slug(slug)
        if spki_octets(keys.private_key(authority.key_label).public_key()) != spki_octets(authority.public_key):
            raise AuthorityRefused("the key of its label is another")
        with self._database.write() as tx:
            permitted = self._imported.permit(tx, authority.id, authority.certificate, _RESPONDERS)
            if permitted:
                self._audit.append(
                    tx, _event("authority.responders_permitted", authority.id, authority.certificate, actor)
                )
        self._registry.forget()
        return permitted

    def _parent(self, certificate: x509.Certificate, public_key: PublicKey) -> Authority | None:
        """Whose key signed it: None for a root. Raises: AuthorityRefused."""
        wanted = _authority_key(certificate)
        if wanted in (None, key_identifier(public_key)) and is_issued_by(certificate, certificate):
            return None
        for known in self._registry.all():
            if known.key_identifier == wanted and is_issued_by(certificate, known.certificate):
                return known
        raise AuthorityRefused("no authority that is here issued it: import its issuer first")


def _parse(octets: bytes) -> tuple[x509.Certificate, PublicKey]:
    try:
        certificate, public_key = read_certificate(octets)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except ValueError as error:
        raise AuthorityRefused(str(error)) from error
    except x509.ExtensionNotFound as error:
        raise AuthorityRefused(type(error).__name__) from error
    if not (constraints.critical and constraints.value.ca and usage.key_cert_sign and usage.crl_sign):
        raise AuthorityRefused("not a CA's certificate")
    try:
        key_algorithm_of(public_key)
    except KeyAlgorithmRefused as error:
        raise AuthorityRefused("key algorithm") from error
    if identifier != key_identifier(public_key):
        raise AuthorityRefused("its key identifier is not made from its key by method 1")
    return certificate, public_key


def _authority_key(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def _event(name: str, authority_id: int, certificate: x509.Certificate, actor: str) -> AuditEvent:
    return AuditEvent(
        name=name,
        actor=actor,
        outcome=Outcome.OK,
        subject=f"authority:{authority_id}",
        detail={"digest": sha256(certificate.public_bytes(Encoding.DER)).hexdigest()},
    )
