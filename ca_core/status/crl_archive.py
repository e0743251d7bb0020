"""The published CRLs, for whoever serves, checks or watches them. Needs no key."""

from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.status import crl_store
from ca_core.status.errors import CrlOverdue, CrlSuperseded
from ca_core.status.model import CrlKind, CrlRecord
from ca_core.status.ports import Authorities


class CrlArchive:
    """What was published, read from the database each time: no node can be left behind with an old one."""

    def __init__(self, database: Database, authorities: Authorities) -> None:
        self._database = database
        self._authorities = authorities

    def latest_record(self, authority_slug: str) -> CrlRecord | None:
        """The newest published complete CRL's row. Raises: AuthorityNotFound."""
        return self._newest(authority_slug, CrlKind.COMPLETE)

    def latest_delta_record(self, authority_slug: str) -> CrlRecord | None:
        """The newest published delta's row. Raises: AuthorityNotFound."""
        return self._newest(authority_slug, CrlKind.DELTA)

    def latest_shard_record(self, authority_slug: str, shard: int) -> CrlRecord | None:
        """A shard's list of the newest complete edition. Raises: AuthorityNotFound."""
        authority = self._authorities.by_slug(authority_slug)
        with self._database.read() as tx:
            record = crl_store.latest(tx, authority.id, CrlKind.COMPLETE)
            return None if record is None else crl_store.shard_of(tx, record.id, shard)

    def chunk(self, record: CrlRecord, position: int) -> bytes:
        """One of the `record.chunks` chunks, a quarter of a megabyte at most. Raises: CrlSuperseded."""
        with self._database.read() as tx:
            octets = crl_store.chunk(tx, record, position)
        if octets is None:
            raise CrlSuperseded("its octets are no longer kept")
        return octets

    def octets(self, record: CrlRecord) -> bytes:
        """A list as a whole, DER. Raises: CrlSuperseded."""
        return b"".join(self.chunk(record, position) for position in range(record.chunks))

    def latest(self, authority_slug: str) -> bytes | None:
        """The newest complete CRL as a whole, DER; None before the first. Raises: AuthorityNotFound."""
        record = self.latest_record(authority_slug)
        return None if record is None else self.octets(record)

    def latest_delta(self, authority_slug: str) -> bytes | None:
        """The newest delta as a whole."""
        record = self.latest_delta_record(authority_slug)
        return None if record is None else self.octets(record)

    def latest_shard(self, authority_slug: str, shard: int) -> bytes | None:
        """A shard's newest list as a whole."""
        record = self.latest_shard_record(authority_slug, shard)
        return None if record is None else self.octets(record)

    def _newest(self, authority_slug: str, kind: CrlKind) -> CrlRecord | None:
        authority = self._authorities.by_slug(authority_slug)
        with self._database.read() as tx:
            return crl_store.latest(tx, authority.id, kind)


def crl_overdue(archive: CrlArchive, authorities: Authorities, clock: Clock) -> None:
    """Accepts a state in which every list that is served is before its nextUpdate: a check for /readyz.

    An authority that has published nothing yet, or whose certificate has ended, counts as in order.
    Raises: CrlOverdue, naming each list. Its shards have the complete CRL's times.
    """
    now = clock()
    late = []
    for authority in authorities.all():
        if authority.certificate.not_valid_after_utc <= now:
            continue
        for record in (archive.latest_record(authority.slug), archive.latest_delta_record(authority.slug)):
            if record is not None and record.next_update <= now:
                late.append(f"{authority.slug} {record.kind} since {record.next_update:%Y-%m-%dT%H:%M:%SZ}")
    if late:
        raise CrlOverdue(", ".join(late))
