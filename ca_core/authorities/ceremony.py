"""Holding a ceremony: keys, root and issuing certificates from one reviewed file.

Every step is recorded before the next, so a ceremony that was interrupted is finished by running the same file again;
what was made stays, and no authority is made twice.
"""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.audit import AuditEvent, AuditLog, Outcome
from ca_core.authorities.ceremony_file import SELF, AuthoritySpec, Ceremony
from ca_core.authorities.ceremony_text import MadeAuthority, review_text, transcript_text
from ca_core.authorities.errors import AuthorityExists, AuthorityNotFound, CeremonyAlreadyHeld, CeremonyRefused
from ca_core.authorities.model import AuthorityRole, AuthoritySigner, CeremonyRecord, CertificateOrder, StoredCeremony
from ca_core.authorities.ports import CertificateIssuer
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.authorities.rehearsal import rehearsal_key
from ca_core.authorities.store import AuthorityStore, CeremonyStore
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict, DomainError
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
    ) -> None:
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
        return review_text(ceremony, self._rehearse(ceremony))

    def run(self, ceremony: Ceremony, *, held_by: str) -> CeremonyRecord:
        """Makes keys and certificates and records them with a transcript; goes on where an earlier run broke off.

        held_by: an actor as in audit events. Raises: CeremonyAlreadyHeld, AuthorityExists, CeremonyRefused: nothing
        was written. Any other error leaves the ceremony to be finished by running the same file again.
        """
        stored = self._find(ceremony)
        if stored is None:
            self._rehearse(ceremony)
            stored = self._begin(ceremony, held_by)
        if stored.completed_at is not None:
            raise CeremonyAlreadyHeld(ceremony.digest)
        made = tuple(self._make(ceremony, spec, held_by) for spec in ceremony.content.authorities)
        return self._complete(ceremony, stored, made, held_by)

    def _find(self, ceremony: Ceremony) -> StoredCeremony | None:
        with self._database.read() as tx:
            return self._ceremonies.find(tx, ceremony.digest)

    def _rehearse(self, ceremony: Ceremony) -> tuple[MadeAuthority, ...]:
        """Every certificate as it would be, under rehearsal keys. Raises: CeremonyRefused."""
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
            except DomainError as error:
                raise CeremonyRefused(f"{spec.slug}: {error.code}: {error.detail}") from error
            signers[spec.slug] = _rehearsal_signer(spec, certificate)
            rehearsed.append(MadeAuthority(spec=spec, certificate=certificate))
        return tuple(rehearsed)

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
        self, ceremony: Ceremony, stored: StoredCeremony, made: tuple[MadeAuthority, ...], held_by: str
    ) -> CeremonyRecord:
        now = self._clock()
        transcript = transcript_text(ceremony, stored, made, completed_at=now, completed_by=held_by)
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


def _event(name: str, actor: str, subject: str, digest: str) -> AuditEvent:
    return AuditEvent(name=name, actor=actor, outcome=Outcome.OK, subject=subject, detail={"file_sha256": digest})
