"""How the rest of the house finds an authority."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import hashes

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import Authority, AuthoritySigner, CrossCertificate
from ca_core.authorities.store import AuthorityStore, parse_authority
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Row
from ca_core.keys.model import public_key_bits

_FRESH = timedelta(seconds=1)
_ALGORITHMS: tuple[hashes.HashAlgorithm, ...] = (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())  # noqa: S303 - OCSP's CertID names SHA-1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    read_at: datetime
    rows: tuple[Row, ...]
    all: tuple[Authority, ...]
    by_id: dict[int, Authority]
    by_slug: dict[str, Authority]
    by_hash: dict[tuple[str, bytes], tuple[Authority, bytes]]


class AuthorityRegistry:
    """Every authority that has a certificate, from a bounded cache that is read again when it is a second old."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = AuthorityStore()
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def all(self) -> tuple[Authority, ...]:
        """All of them, oldest first."""
        return self._current().all

    def by_slug(self, slug: str) -> Authority:
        """Raises: AuthorityNotFound."""
        found = self._current().by_slug.get(slug)
        if found is None:
            raise AuthorityNotFound(slug)
        return found

    def by_id(self, authority_id: int) -> Authority:
        """Raises: AuthorityNotFound."""
        found = self._current().by_id.get(authority_id)
        if found is None:
            raise AuthorityNotFound(str(authority_id))
        return found

    def by_key_hash(
        self, issuer_key_hash: bytes, algorithm: hashes.HashAlgorithm, issuer_name_hash: bytes | None = None
    ) -> Authority | None:
        """The authority that an OCSP CertID names, or None where none is meant.

        The key's hash decides, since generations share one name; a name's hash, where given, must fit as well.
        """
        found = self._current().by_hash.get((algorithm.name, issuer_key_hash))
        if found is None:
            return None
        authority, name_hash = found
        return authority if issuer_name_hash is None or issuer_name_hash == name_hash else None

    def signer(self, slug: str) -> AuthoritySigner:
        """What is needed to issue in its name; read from the database, also while its ceremony is under way.

        Raises: AuthorityNotFound.
        """
        with self._database.read() as tx:
            found = self._store.signer_by_slug(tx, slug)
        if found is None:
            raise AuthorityNotFound(slug)
        return found

    def signer_by_id(self, authority_id: int) -> AuthoritySigner:
        """Raises: AuthorityNotFound."""
        with self._database.read() as tx:
            found = self._store.signer_by_id(tx, authority_id)
        if found is None:
            raise AuthorityNotFound(str(authority_id))
        return found

    def cross_certificates(self) -> tuple[CrossCertificate, ...]:
        """Roots' keys certified by other roots, oldest first; read from the database."""
        with self._database.read() as tx:
            return tuple(self._store.cross_certificates(tx))

    def forget(self) -> None:
        """Drops the cache at once: for whoever changed an authority in this process."""
        with self._lock:
            self._known = None

    def _current(self) -> _Known:
        now = self._clock()
        known = self._known
        if known is not None and timedelta(0) <= now - known.read_at < _FRESH:
            return known
        with self._database.read() as tx:
            rows = tuple(self._store.active_rows(tx))
        if known is None or known.rows != rows:
            known = _index(rows, now)
        else:
            known = _Known(
                read_at=now,
                rows=rows,
                all=known.all,
                by_id=known.by_id,
                by_slug=known.by_slug,
                by_hash=known.by_hash,
            )
        with self._lock:
            self._known = known
        return known


def _index(rows: tuple[Row, ...], now: datetime) -> _Known:
    authorities = tuple(parse_authority(row) for row in rows)
    return _Known(
        read_at=now,
        rows=rows,
        all=authorities,
        by_id={authority.id: authority for authority in authorities},
        by_slug={authority.slug: authority for authority in authorities},
        by_hash={
            (algorithm.name, _hashed(algorithm, public_key_bits(authority.public_key))): (
                authority,
                _hashed(algorithm, authority.certificate.subject.public_bytes()),
            )
            for authority in authorities
            for algorithm in _ALGORITHMS
        },
    )


def _hashed(algorithm: hashes.HashAlgorithm, octets: bytes) -> bytes:
    state = hashes.Hash(algorithm)
    state.update(octets)
    return state.finalize()
