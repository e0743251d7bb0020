"""Complete CRLs: made as a stream, published by one row, read in chunks.

The database row is the truth, so that any process of any node serves the same list. The octets lie in chunks: neither
the maker nor a server ever holds 20 MB. The list as of a place in the status log is a function of the log, so reading
it in pages, without one long snapshot, gives the same octets whatever happens meanwhile.
"""

from contextlib import suppress

from cryptography.hazmat.primitives import hashes

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.ports import KeyStore
from ca_core.revocation.log import CrlScope, StatusLog
from ca_core.status import crl_store
from ca_core.status.crl_frame import CrlFrame, certificate_list_header
from ca_core.status.errors import AuthorityExpired, CrlSuperseded
from ca_core.status.model import CrlRecord, CrlSettings, next_crl_number, whole_second
from ca_core.status.ports import Authorities
from ca_core.status.signing import scheme_of, sign_digest, verify_digest_signature

CHUNK_BYTES = 262_144
_DEFAULTS = CrlSettings()


class ChunkedBody:
    """A CertificateList's octets behind its outer header, hashed and stored while they come."""

    def __init__(self, database: Database, crl_id: int, hash_algorithm: hashes.HashAlgorithm) -> None:
        self._database = database
        self._crl_id = crl_id
        self._hash = hashes.Hash(hash_algorithm)
        self._buffer = bytearray()
        self._position = 1  # chunk 0 is the outer header, whose length is known last
        self.size = 0

    @property
    def chunks(self) -> int:
        """How many chunks there are once `finish` was called."""
        return self._position + 1

    def add_signed(self, part: bytes) -> None:
        """The next octets of TBSCertList."""
        self._hash.update(part)
        self._add(part)

    def add_unsigned(self, part: bytes) -> None:
        """The octets that follow TBSCertList."""
        self._add(part)

    def digest(self) -> bytes:
        """The hash over what was signed. Once."""
        return self._hash.finalize()

    def finish(self, tx: Transaction, outer_header: bytes) -> None:
        """Stores the last chunk and the first."""
        crl_store.add_chunk(tx, self._crl_id, self._position, bytes(self._buffer))
        crl_store.add_chunk(tx, self._crl_id, 0, outer_header)

    def _add(self, part: bytes) -> None:
        self.size += len(part)
        self._buffer += part
        while len(self._buffer) >= CHUNK_BYTES:
            with self._database.write() as tx:
                crl_store.add_chunk(tx, self._crl_id, self._position, bytes(self._buffer[:CHUNK_BYTES]))
            del self._buffer[:CHUNK_BYTES]
            self._position += 1


class CrlArchive:
    """The published CRLs. Needs no key, so any role can serve them."""

    def __init__(self, database: Database, authorities: Authorities) -> None:
        self._database = database
        self._authorities = authorities

    def latest_record(self, authority_slug: str) -> CrlRecord | None:
        """The newest published CRL's row. Raises: AuthorityNotFound."""
        authority = self._authorities.by_slug(authority_slug)
        with self._database.read() as tx:
            return crl_store.latest(tx, authority.id)

    def chunk(self, record: CrlRecord, position: int) -> bytes:
        """One of the `record.chunks` chunks, at most CHUNK_BYTES. Raises: CrlSuperseded."""
        with self._database.read() as tx:
            octets = crl_store.chunk(tx, record.id, position)
        if octets is None:
            raise CrlSuperseded("its octets are no longer kept")
        return octets

    def latest(self, authority_slug: str) -> bytes | None:
        """The newest published CRL as a whole, DER; None before the first. Raises: AuthorityNotFound."""
        record = self.latest_record(authority_slug)
        if record is None:
            return None
        return b"".join(self.chunk(record, position) for position in range(record.chunks))


class CrlService:
    """Makes and publishes complete CRLs, with the authorities' own keys."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        keys: KeyStore,
        log: StatusLog,
        audit: AuditLog,
        clock: Clock,
        settings: CrlSettings = _DEFAULTS,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._keys = keys
        self._log = log
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._archive = CrlArchive(database, authorities)

    def latest(self, authority_slug: str) -> bytes | None:
        """As `CrlArchive.latest`."""
        return self._archive.latest(authority_slug)

    def publish_due(self) -> list[CrlRecord]:
        """A CRL of each authority that has none younger than the interval: what the worker calls every minute.

        Authorities that expired are passed over. A root whose key is not in this key store is offline: its CRLs are
        made where its key is.
        """
        published = []
        for authority in self._authorities.all():
            record = self._archive.latest_record(authority.slug)
            if self._has_expired(authority) or (record is not None and self._is_fresh(record)):
                continue
            try:
                published.append(self.publish(authority.slug))
            except KeyNotFound:
                if authority.role is not AuthorityRole.ROOT:
                    raise
        return published

    def publish(self, authority_slug: str) -> CrlRecord:
        """The authority's next complete CRL.

        1. A number is taken, with the place in the status log that the list is of: two workers take two numbers, and
        the higher number never knows less. 2. The octets are hashed while they are stored, in chunks. 3. The hash is
        signed, outside any transaction, and the signature checked under the authority's certificate. 4. One row's
        change publishes it. A crash before that leaves a number unused, nothing else.
        Raises: AuthorityNotFound, AuthorityExpired; CrlSuperseded, where a later one was published meanwhile;
        SigningFault.
        """
        authority = self._authorities.by_slug(authority_slug)
        if self._has_expired(authority):
            raise AuthorityExpired(authority_slug)
        key = self._keys.private_key(authority.key_label)
        reserved, scope = self._reserve(authority)
        frame = CrlFrame(
            algorithm_identifier=scheme_of(authority.public_key).algorithm_identifier,
            issuer=authority.certificate.subject.public_bytes(),
            key_identifier=authority.key_identifier,
            number=reserved.number,
            this_update=reserved.this_update,
            next_update=reserved.next_update,
        )
        body = ChunkedBody(self._database, reserved.id, scheme_of(authority.public_key).hash)
        with self._database.read() as tx:
            entries, entries_size = self._log.measure(tx, scope)
            for part in frame.tbs(self._log.entries(tx, scope), entries_size):
                body.add_signed(part)
        digest = body.digest()
        signature = sign_digest(key, digest)
        verify_digest_signature(authority.public_key, digest, signature)
        tail = frame.signed_tail(signature)
        head = certificate_list_header(body.size, len(tail))
        body.add_unsigned(tail)
        return self._finish(authority, reserved, body, head, entries)

    def _reserve(self, authority: Authority) -> tuple[CrlRecord, CrlScope]:
        for _ in range(4):
            with suppress(Conflict):  # another worker took that number
                return self._try_to_reserve(authority)
        return self._try_to_reserve(authority)

    def _try_to_reserve(self, authority: Authority) -> tuple[CrlRecord, CrlScope]:
        now = whole_second(self._clock())
        next_update = min(now + self._settings.validity, authority.certificate.not_valid_after_utc)
        with self._database.write() as tx:
            number = next_crl_number(crl_store.last_number(tx, authority.id), now)
            previous = crl_store.latest(tx, authority.id)
            # Read after the number: whoever takes a higher number later reads a place that is not before this one.
            through = self._log.head(tx)
            crl_id = crl_store.reserve(
                tx, authority.id, number=number, this_update=now, next_update=next_update, through=through
            )
        reserved = CrlRecord(
            id=crl_id,
            authority_id=authority.id,
            number=number,
            this_update=now,
            next_update=next_update,
            through=through,
            entries=0,
            size_bytes=0,
            chunks=0,
        )
        scope = CrlScope(
            authority_id=authority.id,
            through=through,
            previous_at=authority.certificate.not_valid_before_utc if previous is None else previous.this_update,
            previous_through=0 if previous is None else previous.through,
        )
        return reserved, scope

    def _finish(
        self, authority: Authority, reserved: CrlRecord, body: ChunkedBody, head: bytes, entries: int
    ) -> CrlRecord:
        record = CrlRecord(
            id=reserved.id,
            authority_id=reserved.authority_id,
            number=reserved.number,
            this_update=reserved.this_update,
            next_update=reserved.next_update,
            through=reserved.through,
            entries=entries,
            size_bytes=len(head) + body.size,
            chunks=body.chunks,
        )
        with self._database.write() as tx:
            body.finish(tx, head)
            previous = crl_store.latest(tx, authority.id)
            if not crl_store.publish(tx, record):
                raise CrlSuperseded(f"number {record.number}")
            crl_store.give_up_unfinished(tx, authority.id, below=record.number)
            if previous is not None:
                crl_store.drop_content(tx, authority.id, below=previous.number)
            self._audit.append(
                tx,
                AuditEvent(
                    name="crl.published",
                    actor="system:ca",
                    outcome=Outcome.OK,
                    subject=f"authority:{authority.id}",
                    detail={"number": record.number, "entries": record.entries, "through": record.through},
                ),
            )
        return record

    def _has_expired(self, authority: Authority) -> bool:
        return authority.certificate.not_valid_after_utc <= self._clock()

    def _is_fresh(self, record: CrlRecord) -> bool:
        age = self._clock() - record.this_update
        return -self._settings.interval < age < self._settings.interval
