"""Tables of authorities and ceremonies."""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table, Text, bindparam, insert, select, update

from ca_core.authorities.model import Authority, AuthorityRole, AuthoritySigner, CrossCertificate, StoredCeremony
from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.keys.model import PublicKey, key_identifier, spki_octets
from ca_core.revocation.expressions import latest_change
from ca_core.revocation.model import Change
from ca_core.schema import metadata

MAX_AUTHORITIES = 256
"""Generations of a handful of authorities; the bound of every list of them."""

ceremonies = Table(
    "ca_ceremonies",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("held_by", String(128), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("completed_at", UtcTime),
    Column("transcript", Text),
)

authorities = Table(
    "ca_authorities",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("slug", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("key_label", String(64), nullable=False, unique=True),
    Column("parent_id", BigId, ForeignKey("ca_authorities.id")),
    Column("ceremony_id", BigId, ForeignKey("ca_ceremonies.id"), nullable=False),
    Column("profiles", Text, nullable=False),
    Column("public_key", LargeBinary),
    Column("key_identifier", LargeBinary),
    Column("certificate", LargeBinary),
    Column("certificate_id", BigId),
    Column("activated_at", UtcTime),
)

cross_certificates = Table(
    "ca_cross_certificates",
    metadata,
    Column("certificate_id", BigId, primary_key=True, autoincrement=False),
    Column("subject_id", BigId, ForeignKey("ca_authorities.id"), nullable=False),
    Column("issuer_id", BigId, ForeignKey("ca_authorities.id"), nullable=False),
    Column("ceremony_id", BigId, ForeignKey("ca_ceremonies.id"), nullable=False),
    Column("certificate", LargeBinary, nullable=False),
)

_ADD_CROSS = Statement(
    insert(cross_certificates).values(
        certificate_id=bindparam("certificate_id"),
        subject_id=bindparam("subject_id"),
        issuer_id=bindparam("issuer_id"),
        ceremony_id=bindparam("ceremony_id"),
        certificate=bindparam("certificate"),
    )
)
_HAS_CROSS = Statement(
    select(cross_certificates.c.certificate_id).where(
        cross_certificates.c.certificate_id == bindparam("certificate_id")
    )
)
_CROSS = Statement(
    select(
        cross_certificates.c.certificate_id,
        cross_certificates.c.subject_id,
        cross_certificates.c.issuer_id,
        cross_certificates.c.certificate,
    )
    .order_by(cross_certificates.c.certificate_id)
    .limit(MAX_AUTHORITIES)
)
_ADD_CEREMONY = Statement(
    insert(ceremonies)
    .values(
        digest=bindparam("digest"),
        title=bindparam("title"),
        file=bindparam("file"),
        held_by=bindparam("held_by"),
        started_at=bindparam("started_at"),
    )
    .returning(ceremonies.c.id)
)
_FIND_CEREMONY = Statement(
    select(
        ceremonies.c.id,
        ceremonies.c.digest,
        ceremonies.c.title,
        ceremonies.c.held_by,
        ceremonies.c.started_at,
        ceremonies.c.completed_at,
        ceremonies.c.transcript,
    ).where(ceremonies.c.digest == bindparam("digest"))
)
_COMPLETE_CEREMONY = Statement(
    update(ceremonies)
    .where(ceremonies.c.id == bindparam("wanted_id"), ceremonies.c.completed_at.is_(None))
    .values(completed_at=bindparam("completed_at"), transcript=bindparam("transcript"))
)

_ADD_AUTHORITY = Statement(
    insert(authorities)
    .values(
        slug=bindparam("slug"),
        role=bindparam("role"),
        key_label=bindparam("key_label"),
        parent_id=bindparam("parent_id"),
        ceremony_id=bindparam("ceremony_id"),
        profiles=bindparam("profiles"),
    )
    .returning(authorities.c.id)
)
_SET_KEY = Statement(
    update(authorities)
    .where(authorities.c.id == bindparam("wanted_id"), authorities.c.public_key.is_(None))
    .values(public_key=bindparam("public_key"), key_identifier=bindparam("key_identifier"))
)
_ACTIVATE = Statement(
    update(authorities)
    .where(authorities.c.id == bindparam("wanted_id"), authorities.c.certificate.is_(None))
    .values(
        certificate=bindparam("certificate"),
        certificate_id=bindparam("certificate_id"),
        activated_at=bindparam("activated_at"),
    )
)
_SET_PROFILES = Statement(
    update(authorities)
    .where(authorities.c.id == bindparam("wanted_id"), authorities.c.profiles != bindparam("profiles"))
    .values(profiles=bindparam("profiles"))
)
_ACTIVE = Statement(
    select(
        authorities.c.id,
        authorities.c.slug,
        authorities.c.role,
        authorities.c.certificate,
        authorities.c.certificate_id,
        authorities.c.key_label,
        authorities.c.parent_id,
        authorities.c.key_identifier,
        authorities.c.profiles,
    )
    .where(authorities.c.certificate.is_not(None))
    .order_by(authorities.c.id)
    .limit(MAX_AUTHORITIES)
)
_SIGNER = (
    authorities.c.id,
    authorities.c.slug,
    authorities.c.role,
    authorities.c.key_label,
    authorities.c.public_key,
    authorities.c.key_identifier,
    authorities.c.profiles,
    authorities.c.certificate,
    latest_change(authorities.c.certificate_id),
)
_SIGNER_BY_SLUG = Statement(
    select(*_SIGNER).where(authorities.c.slug == bindparam("slug"), authorities.c.public_key.is_not(None))
)
_SIGNER_BY_ID = Statement(
    select(*_SIGNER).where(authorities.c.id == bindparam("id"), authorities.c.public_key.is_not(None))
)
_ID_BY_SLUG = Statement(select(authorities.c.id).where(authorities.c.slug == bindparam("slug")))


class AuthorityStore:
    """Authorities, by id and slug. Holds nothing; every method runs in the caller's transaction."""

    def add_pending(
        self,
        tx: Transaction,
        *,
        slug: str,
        role: AuthorityRole,
        key_label: str,
        parent_id: int | None,
        ceremony_id: int,
        profiles: frozenset[str],
    ) -> int:
        """An authority without key and certificate; returns its id. Raises: Conflict, for a slug or label in use."""
        row = tx.one_or_none(
            _ADD_AUTHORITY,
            slug=slug,
            role=role.value,
            key_label=key_label,
            parent_id=parent_id,
            ceremony_id=ceremony_id,
            profiles=" ".join(sorted(profiles)),
        )
        return _returned_id(row)

    def set_key(self, tx: Transaction, authority_id: int, public_key: PublicKey) -> None:
        """Records the key of an authority, once; later calls change nothing."""
        tx.execute(
            _SET_KEY,
            wanted_id=authority_id,
            public_key=spki_octets(public_key),
            key_identifier=key_identifier(public_key),
        )

    def activate(
        self, tx: Transaction, authority_id: int, *, certificate: bytes, certificate_id: int, now: datetime
    ) -> bool:
        """Gives an authority its certificate, once; from now on it may issue. False where it has one."""
        touched = tx.execute(
            _ACTIVATE,
            wanted_id=authority_id,
            certificate=certificate,
            certificate_id=certificate_id,
            activated_at=now,
        )
        return touched == 1

    def set_profiles(self, tx: Transaction, authority_id: int, profiles: frozenset[str]) -> bool:
        """What an authority may issue from now on. False where nothing changed."""
        return tx.execute(_SET_PROFILES, wanted_id=authority_id, profiles=" ".join(sorted(profiles))) == 1

    def add_cross(self, tx: Transaction, cross: CrossCertificate, ceremony_id: int) -> bool:
        """Records a cross-certificate, once. False where it was."""
        if tx.one_or_none(_HAS_CROSS, certificate_id=cross.certificate_id) is not None:
            return False
        tx.execute(
            _ADD_CROSS,
            certificate_id=cross.certificate_id,
            subject_id=cross.subject_id,
            issuer_id=cross.issuer_id,
            ceremony_id=ceremony_id,
            certificate=cross.certificate.public_bytes(Encoding.DER),
        )
        return True

    def cross_certificates(self, tx: Transaction) -> list[CrossCertificate]:
        """All of them, oldest first."""
        return [
            CrossCertificate(
                certificate_id=row[0],
                subject_id=row[1],
                issuer_id=row[2],
                certificate=x509.load_der_x509_certificate(bytes(row[3])),
            )
            for row in tx.all(_CROSS)
        ]

    def active_rows(self, tx: Transaction) -> list[Row]:
        """The rows that `parse_authority` reads, of all authorities with a certificate, by id."""
        return tx.all(_ACTIVE)

    def signer_by_slug(self, tx: Transaction, slug: str) -> AuthoritySigner | None:
        """Also of an authority whose ceremony is under way, once its key is made."""
        return _signer(tx.one_or_none(_SIGNER_BY_SLUG, slug=slug))

    def signer_by_id(self, tx: Transaction, authority_id: int) -> AuthoritySigner | None:
        return _signer(tx.one_or_none(_SIGNER_BY_ID, id=authority_id))

    def id_of(self, tx: Transaction, slug: str) -> int | None:
        row = tx.one_or_none(_ID_BY_SLUG, slug=slug)
        return None if row is None else row[0]


class CeremonyStore:
    """Ceremonies by the digest of their file."""

    def add(self, tx: Transaction, *, digest: str, title: str, file: str, held_by: str, now: datetime) -> int:
        """Returns its id. Raises: Conflict, for a file that was begun before."""
        return _returned_id(
            tx.one_or_none(_ADD_CEREMONY, digest=digest, title=title, file=file, held_by=held_by, started_at=now)
        )

    def find(self, tx: Transaction, digest: str) -> StoredCeremony | None:
        row = tx.one_or_none(_FIND_CEREMONY, digest=digest)
        if row is None:
            return None
        ceremony_id, found, title, held_by, started_at, completed_at, transcript = row
        return StoredCeremony(
            id=ceremony_id,
            digest=found,
            title=title,
            held_by=held_by,
            started_at=started_at,
            completed_at=completed_at,
            transcript=transcript,
        )

    def complete(self, tx: Transaction, ceremony_id: int, *, transcript: str, now: datetime) -> bool:
        """True for the one run that finishes it."""
        return tx.execute(_COMPLETE_CEREMONY, wanted_id=ceremony_id, completed_at=now, transcript=transcript) == 1


def parse_authority(row: Row) -> Authority:
    """An authority from a row of `AuthorityStore.active_rows`."""
    authority_id, slug, role, certificate, certificate_id, key_label, parent_id, identifier, profiles = row
    return Authority(
        id=authority_id,
        slug=slug,
        role=AuthorityRole(role),
        certificate=x509.load_der_x509_certificate(bytes(certificate)),
        certificate_id=certificate_id,
        key_label=key_label,
        parent_id=parent_id,
        key_identifier=bytes(identifier),
        profiles=frozenset(profiles.split()),
    )


def _signer(row: Row | None) -> AuthoritySigner | None:
    if row is None:
        return None
    authority_id, slug, role, key_label, spki, identifier, profiles, certificate, latest = row
    public_key = load_der_public_key(bytes(spki))
    if not isinstance(public_key, PublicKey):
        raise TypeError("an authority's key is RSA or EC")
    return AuthoritySigner(
        id=authority_id,
        slug=slug,
        role=AuthorityRole(role),
        key_label=key_label,
        public_key=public_key,
        key_identifier=bytes(identifier),
        profiles=frozenset(profiles.split()),
        certificate=None if certificate is None else x509.load_der_x509_certificate(bytes(certificate)),
        is_good=latest in (None, Change.RESUME),
    )


def _returned_id(row: Row | None) -> int:
    if row is None:
        raise TypeError("an insert returned no row")
    found: int = row[0]
    return found
