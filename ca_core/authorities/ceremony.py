"""Holding a ceremony: keys, root and issuing certificates from one reviewed file.

Every step is recorded before the next, so a ceremony that was interrupted is finished by running the same file again;
what was made stays, and no authority is made twice.
"""

from collections.abc import Mapping
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.audit import AuditEvent, AuditLog, Outcome
from ca_core.authorities.ceremony_file import SELF, AuthoritySpec, Ceremony, CrossSpec
from ca_core.authorities.ceremony_text import MadeAuthority, MadeCross, review_text, transcript_text
from ca_core.authorities.custodians import CustodianService
from ca_core.authorities.errors import AuthorityExists, AuthorityNotFound, CeremonyAlreadyHeld, CeremonyRefused
from ca_core.authorities.model import (
    STILL_ISSUED,
    AuthorityRole,
    AuthoritySigner,
    CeremonyRecord,
    CertificateOrder,
    CrossCertificate,
    StoredCeremony,
)
from ca_core.authorities.ports import CertificateIssuer
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.authorities.rehearsal import rehearsal_key
from ca_core.authorities.store import AuthorityStore, CeremonyStore
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict, DomainError, Unavailable
from ca_core.keys.errors import KeyExists, KeyNotFound
from ca_core.keys.model import PrivateKey, key_identifier, spki_octets
from ca_core.keys.ports import KeyStore


class CeremonyService:
    """Reviews ceremonies and holds them."""

    def __init__(
        self,
        *,
        database: Database,
        registry: AuthorityRegistry,
        key_store: KeyStore,
        issuer: CertificateIssuer,
        audit: AuditLog,
        clock: Clock,
        custodians: CustodianService | None = None,
    ) -> None:
        self._custodians = CustodianService(database, audit, clock) if custodians is None else custodians
        self._database = database
        self._registry = registry
        self._key_store = key_store
        self._issuer = issuer
        self._audit = audit
        self._clock = clock
        self._authorities = AuthorityStore()
        self._ceremonies = CeremonyStore()

    def review(self, ceremony: Ceremony) -> str:
        """What will be made, extension by extension, and the file's digest. Writes nothing. Raises: CeremonyRefused."""
        rehearsed, crossed = self._rehearse(ceremony)
        return review_text(ceremony, rehearsed, crossed)

    def run(self, ceremony: Ceremony, *, held_by: str) -> CeremonyRecord:
        """Makes keys and certificates and records them with a transcript; goes on where an earlier run broke off.

        held_by: an actor as in audit events. Raises: NotApproved, by enough custodians; CeremonyAlreadyHeld,
        AuthorityExists, CeremonyRefused: nothing was written. Any other error leaves the ceremony to be finished by
        running the same file again.
        """
        stored = self._find(ceremony)
        if stored is not None and stored.completed_at is not None:
            raise CeremonyAlreadyHeld(ceremony.digest)
        approved_by = self._custodians.verify_approved(ceremony.digest, wanted=ceremony.content.approvals)
        if stored is None:
            self._rehearse(ceremony)
            stored = self._begin(ceremony, held_by)
        if stored.completed_at is not None:
            raise CeremonyAlreadyHeld(ceremony.digest)
        made = tuple(self._make(ceremony, spec, held_by) for spec in ceremony.content.authorities)
        crossed = tuple(self._cross(ceremony, stored, spec, held_by) for spec in ceremony.content.cross_certificates)
        for slug in ceremony.content.retires:
            self._retire(ceremony, slug, held_by)
        return self._complete(ceremony, stored, made, crossed, approved_by, held_by)

    def _find(self, ceremony: Ceremony) -> StoredCeremony | None:
        with self._database.read() as tx:
            return self._ceremonies.find(tx, ceremony.digest)

    def _rehearse(self, ceremony: Ceremony) -> tuple[tuple[MadeAuthority, ...], tuple[MadeCross, ...]]:
        """Every certificate as it would be, under rehearsal keys. Raises: CeremonyRefused, Unavailable."""
        content = ceremony.content
        if content.publication_url != self._issuer.publication_url:
            raise CeremonyRefused(f"publication_url: this deployment's is {self._issuer.publication_url}")
        signers: dict[str, AuthoritySigner] = {}
        rehearsed: list[MadeAuthority] = []
        for spec in content.authorities:
            unknown = sorted({spec.profile, *spec.issues} - self._issuer.profile_names)
            if unknown:
                raise CeremonyRefused(f"{spec.slug}: no such profile: {', '.join(unknown)}")
            if self._issuer.is_self_signed(spec.profile) != (spec.issuer == SELF):
                raise CeremonyRefused(f"{spec.slug}: its profile and its issuer contradict each other")
            own = _rehearsal_signer(spec, None)
            try:
                issuer = own if spec.issuer == SELF else signers.get(spec.issuer) or self._registry.signer(spec.issuer)
                order = self._order(ceremony, spec, own, "system:rehearsal")
                certificate = self._issuer.rehearse(order, issuer)
            except Unavailable:
                raise  # says nothing of the file
            except DomainError as error:
                raise CeremonyRefused(f"{spec.slug}: {error.code}: {error.detail}") from error
            signers[spec.slug] = _rehearsal_signer(spec, certificate)
            rehearsed.append(MadeAuthority(spec=spec, certificate=certificate))
        crossed = tuple(self._rehearse_cross(ceremony, spec, signers) for spec in content.cross_certificates)
        for slug in content.retires:
            try:
                if self._registry.by_slug(slug).role is not AuthorityRole.ISSUING:
                    raise CeremonyRefused(f"{slug}: only issuing authorities are retired")
            except AuthorityNotFound as error:
                raise CeremonyRefused(f"{slug}: {error.code}") from error
        return tuple(rehearsed), crossed

    def _rehearse_cross(self, ceremony: Ceremony, spec: CrossSpec, made: Mapping[str, AuthoritySigner]) -> MadeCross:
        try:
            subject, issuer = (made.get(slug) or self._registry.signer(slug) for slug in (spec.subject, spec.issuer))
            if spec.profile not in self._issuer.profile_names or self._issuer.is_self_signed(spec.profile):
                raise CeremonyRefused(f"{spec.subject}: {spec.profile} is no profile for cross-certificates")
            certificate = self._issuer.rehearse(_cross_order(ceremony, spec, subject, "system:rehearsal"), issuer)
        except CeremonyRefused:
            raise
        except DomainError as error:
            raise CeremonyRefused(f"{spec.subject} by {spec.issuer}: {error.code}: {error.detail}") from error
        return MadeCross(spec=spec, certificate=certificate)

    def _begin(self, ceremony: Ceremony, held_by: str) -> StoredCeremony:
        """Records the ceremony and takes the slugs, in one transaction, if no key has one of the labels."""
        for spec in ceremony.content.authorities:
            try:
                self._key_store.private_key(spec.slug)
            except KeyNotFound:
                continue
            begun = self._find(ceremony)  # by another process, just now
            if begun is None:
                raise AuthorityExists(f"a key is called {spec.slug}")
            return begun
        try:
            with self._database.write() as tx:
                ceremony_id = self._ceremonies.add(
                    tx,
                    digest=ceremony.digest,
                    title=ceremony.content.title,
                    file=ceremony.text,
                    held_by=held_by,
                    now=self._clock(),
                )
                for spec in ceremony.content.authorities:
                    is_root = spec.issuer == SELF
                    parent_id = None if is_root else self._authorities.id_of(tx, spec.issuer)
                    if parent_id is None and not is_root:
                        raise AuthorityNotFound(spec.issuer)
                    self._authorities.add_pending(
                        tx,
                        slug=spec.slug,
                        role=AuthorityRole.ROOT if is_root else AuthorityRole.ISSUING,
                        key_label=spec.slug,
                        parent_id=parent_id,
                        ceremony_id=ceremony_id,
                        profiles=frozenset(spec.issues),
                    )
                self._audit.append(tx, _event("ceremony.begun", held_by, f"ceremony:{ceremony_id}", ceremony.digest))
        except Conflict as error:
            if self._find(ceremony) is None:
                raise AuthorityExists("one of the slugs is taken") from error
        stored = self._find(ceremony)
        if stored is None:
            raise CeremonyRefused("the ceremony that was just recorded is gone")
        return stored

    def _make(self, ceremony: Ceremony, spec: AuthoritySpec, held_by: str) -> MadeAuthority:
        """The authority with its key and certificate, whatever of it was made before."""
        key = self._key(spec)
        with self._database.write() as tx:
            authority_id = self._authorities.id_of(tx, spec.slug)
            if authority_id is None:
                raise AuthorityNotFound(spec.slug)
            self._authorities.set_key(tx, authority_id, key.public_key())
        signer = self._registry.signer(spec.slug)
        if spki_octets(signer.public_key) != spki_octets(key.public_key()):
            raise CeremonyRefused(f"{spec.slug}: the key store holds another key than the one that was recorded")
        issued = self._issuer.issue(self._order(ceremony, spec, signer, held_by))
        with self._database.write() as tx:
            is_first = self._authorities.activate(
                tx,
                authority_id,
                certificate=issued.certificate.public_bytes(Encoding.DER),
                certificate_id=issued.certificate_id,
                now=self._clock(),
            )
            if is_first:
                event = _event("authority.created", held_by, f"authority:{authority_id}", ceremony.digest)
                self._audit.append(tx, event)
        self._registry.forget()
        return MadeAuthority(spec=spec, certificate=issued.certificate)

    def _cross(self, ceremony: Ceremony, stored: StoredCeremony, spec: CrossSpec, held_by: str) -> MadeCross:
        """The cross-certificate, whatever of it was made before."""
        subject, issuer = self._registry.signer(spec.subject), self._registry.signer(spec.issuer)
        issued = self._issuer.issue(_cross_order(ceremony, spec, subject, held_by))
        cross = CrossCertificate(
            certificate_id=issued.certificate_id,
            subject_id=subject.id,
            issuer_id=issuer.id,
            certificate=issued.certificate,
        )
        with self._database.write() as tx:
            if self._authorities.add_cross(tx, cross, stored.id):
                event = _event("authority.cross_certified", held_by, f"authority:{subject.id}", ceremony.digest)
                self._audit.append(tx, event)
        return MadeCross(spec=spec, certificate=issued.certificate)

    def _retire(self, ceremony: Ceremony, slug: str, held_by: str) -> None:
        """Its key goes on signing revocation lists and the certificates of its OCSP responders."""
        signer = self._registry.signer(slug)
        with self._database.write() as tx:
            if self._authorities.set_profiles(tx, signer.id, signer.profiles & STILL_ISSUED):
                event = _event("authority.retired", held_by, f"authority:{signer.id}", ceremony.digest)
                self._audit.append(tx, event)
        self._registry.forget()

    def _key(self, spec: AuthoritySpec) -> PrivateKey:
        """The key of that label: it was free when the ceremony began, so what is there now is the ceremony's own."""
        try:
            return self._key_store.generate(spec.slug, spec.key_algorithm)
        except KeyExists:
            return self._key_store.private_key(spec.slug)

    def _order(self, ceremony: Ceremony, spec: AuthoritySpec, signer: AuthoritySigner, actor: str) -> CertificateOrder:
        return CertificateOrder(
            request_id=f"ceremony:{ceremony.digest[:16]}:{spec.slug}",
            profile=spec.profile,
            issuer=spec.slug if spec.issuer == SELF else spec.issuer,
            public_key=signer.public_key,
            subject=spec.name,
            actor=actor,
        )

    def _complete(
        self,
        ceremony: Ceremony,
        stored: StoredCeremony,
        made: tuple[MadeAuthority, ...],
        crossed: tuple[MadeCross, ...],
        approved_by: tuple[str, ...],
        held_by: str,
    ) -> CeremonyRecord:
        now = self._clock()
        transcript = transcript_text(
            ceremony, stored, made, crossed, approved_by, completed_at=now, completed_by=held_by
        )
        with self._database.write() as tx:
            if self._ceremonies.complete(tx, stored.id, transcript=transcript, now=now):
                self._audit.append(tx, _event("ceremony.completed", held_by, f"ceremony:{stored.id}", ceremony.digest))
        final = self._find(ceremony)
        if final is None or final.completed_at is None or final.transcript is None:
            raise CeremonyRefused("the ceremony that was just completed is gone")
        return CeremonyRecord(
            id=final.id,
            digest=final.digest,
            title=final.title,
            held_by=final.held_by,
            started_at=final.started_at,
            completed_at=final.completed_at,
            transcript=final.transcript,
            authorities=tuple(authority.spec.slug for authority in made),
        )


def run_ceremony(
    ceremony: Ceremony,
    key_store: KeyStore,
    *,
    database: Database,
    registry: AuthorityRegistry,
    issuer: CertificateIssuer,
    audit: AuditLog,
    clock: Clock,
    held_by: str,
) -> CeremonyRecord:
    """`CeremonyService.run` in one call."""
    service = CeremonyService(
        database=database, registry=registry, key_store=key_store, issuer=issuer, audit=audit, clock=clock
    )
    return service.run(ceremony, held_by=held_by)


def _rehearsal_signer(spec: AuthoritySpec, certificate: x509.Certificate | None) -> AuthoritySigner:
    public_key = rehearsal_key(spec.key_algorithm)
    return AuthoritySigner(
        id=0,
        slug=spec.slug,
        role=AuthorityRole.ROOT if spec.issuer == SELF else AuthorityRole.ISSUING,
        key_label=spec.slug,
        public_key=public_key,
        key_identifier=key_identifier(public_key),
        profiles=frozenset(spec.issues),
        certificate=certificate,
    )


def _cross_order(ceremony: Ceremony, spec: CrossSpec, subject: AuthoritySigner, actor: str) -> CertificateOrder:
    """Raises: CeremonyRefused, where it is no root, or its name is not known."""
    if subject.role is not AuthorityRole.ROOT or subject.certificate is None:
        raise CeremonyRefused(f"{spec.subject}: only a root is cross-certified")
    return CertificateOrder(
        request_id=f"ceremony:{ceremony.digest[:16]}:x:{_short(spec.subject)}:{_short(spec.issuer)}",
        profile=spec.profile,
        issuer=spec.issuer,
        public_key=subject.public_key,
        subject=subject.certificate.subject,
        actor=actor,
    )


def _short(slug: str) -> str:
    """Twelve hexadecimal digits for a slug: two of them fit into a request id."""
    return sha256(slug.encode("ascii")).hexdigest()[:12]


def _event(name: str, actor: str, subject: str, digest: str) -> AuditEvent:
    return AuditEvent(name=name, actor=actor, outcome=Outcome.OK, subject=subject, detail={"file_sha256": digest})
