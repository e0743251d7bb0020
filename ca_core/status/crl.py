"""Complete CRLs with their shards, and deltas: made as a stream, published by one row, read in chunks.

The database row is the truth, so that any process of any node serves the same list. The octets lie in chunks: neither
the maker nor a server ever holds 20 MB. The list as of a place in the status log is a function of the log, so reading
it in pages, without one long snapshot, gives the same octets whatever happens meanwhile.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.crl_shards.model import CrlShard
from ca_core.crl_shards.service import ShardLayouts
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict, Unavailable
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import PrivateKey
from ca_core.keys.ports import KeyStore
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import CrlScope, DeltaScope
from ca_core.status import crl_store
from ca_core.status.crl_archive import CrlArchive
from ca_core.status.crl_body import ChunkWriter, ListBody, chunk_bytes
from ca_core.status.crl_frame import CrlFrame
from ca_core.status.crl_lint import CrlLinter
from ca_core.status.crl_steps import CrlCheckpoint, CrlStep, no_checkpoint
from ca_core.status.errors import AuthorityExpired, CrlBaseMissing, CrlRefused, CrlSuperseded
from ca_core.status.model import CrlKind, CrlRecord, CrlSettings, complete_scope, next_crl_number, whole_second
from ca_core.status.ports import Authorities
from ca_core.status.second_place import number_record
from ca_core.status.signing import scheme_of

_DEFAULTS = CrlSettings()
_ABANDONED_AFTER = timedelta(hours=1)
_MAX_DETAIL = 200


class CrlService:
    """Makes and publishes CRLs, with the authorities' own keys.

    publication_url: where they are served; complete CRLs of issuing authorities then say where the freshest delta is,
    and `publish_due` makes deltas. shards: without them there are none. checkpoint: told of every step; for tests that
    kill the process there. second_place: where a number is durable before a list bears it.
    """

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        keys: KeyStore,
        log: StatusLog,
        audit: AuditLog,
        clock: Clock,
        settings: CrlSettings = _DEFAULTS,
        *,
        publication_url: str | None = None,
        shards: ShardLayouts | None = None,
        checkpoint: CrlCheckpoint = no_checkpoint,
        second_place: SecondPlace = WITHOUT_SECOND_PLACE,
    ) -> None:
        self._second_place = second_place
        self._database = database
        self._authorities = authorities
        self._keys = keys
        self._log = log
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._publication_url = publication_url
        self._shards = shards
        self._checkpoint = checkpoint
        self._archive = CrlArchive(database, authorities)
        self._linter = CrlLinter()

    def latest(self, authority_slug: str) -> bytes | None:
        """As `CrlArchive.latest`."""
        return self._archive.latest(authority_slug)

    def publish_due(self) -> list[CrlRecord]:
        """What is due now, of every authority: what the worker calls every minute, on any number of nodes.

        A complete CRL where none is younger than the interval; a delta likewise, and after each complete CRL.
        Authorities that expired are passed over. A root, or an imported authority, whose key is not in this key store
        is offline: its CRLs are made where its key is. What fails for one authority keeps no other waiting; the first
        failure is then raised.
        """
        published: list[CrlRecord] = []
        failures: list[Exception] = []
        for authority in self._authorities.all():
            if self._has_expired(authority):
                continue
            try:
                self._publish_due_of(authority, published)
            except CrlSuperseded:
                continue
            except KeyNotFound as error:
                if authority.role is not AuthorityRole.ROOT and authority.profiles:
                    failures.append(error)
            except Exception as error:  # noqa: BLE001  (raised again, when the other authorities had their turn)
                failures.append(error)
        if failures:
            raise failures[0]
        return published

    def publish(self, authority_slug: str) -> CrlRecord:
        """The authority's next complete CRL, and with it the list of each of its shards.

        1. A number is taken, with its audit event and the place in the status log that the lists are of, under the
        log's lock: two workers take two numbers, and the higher number never knows less. 2. Every entry is judged and
        hashed while it is stored, in chunks. 3. The frame is linted with a sample of entries, the hash signed, outside
        any transaction, and the signature checked under the authority's certificate. 4. One row's change publishes all
        of it. A crash before that leaves a number unused, nothing else.
        Raises: AuthorityNotFound, AuthorityExpired; CrlSuperseded, where a later one was published meanwhile;
        CrlRefused (audited), SigningFault.
        """
        return self._publish(authority_slug, CrlKind.COMPLETE)

    def publish_delta(self, authority_slug: str) -> CrlRecord:
        """The authority's next delta, in the same way, to the complete CRL before the latest while that is valid.

        So it serves whoever has either of the two (RFC 5280 s5.2.4 c). Raises: as `publish`; CrlBaseMissing.
        """
        return self._publish(authority_slug, CrlKind.DELTA)

    def _publish_due_of(self, authority: Authority, published: list[CrlRecord]) -> None:
        complete = self._archive.latest_record(authority.slug)
        if complete is None or not self._is_fresh(complete, self._settings.interval):
            complete = self.publish(authority.slug)
            published.append(complete)
        if not self._has_deltas(authority):
            return
        delta = self._archive.latest_delta_record(authority.slug)
        if delta is None or delta.number < complete.number or not self._is_fresh(delta, self._settings.delta_interval):
            published.append(self.publish_delta(authority.slug))

    def _publish(self, authority_slug: str, kind: CrlKind) -> CrlRecord:
        authority = self._authorities.by_slug(authority_slug)
        if self._has_expired(authority):
            raise AuthorityExpired(authority_slug)
        key = self._keys.private_key(authority.key_label)
        reserved, scope, shards = self._reserve(authority, kind)
        self._checkpoint(CrlStep.RESERVED)
        try:
            writer = ChunkWriter(self._database, reserved.id)
            lists = self._build(authority, key, reserved, scope, shards, writer)
            return self._finish(authority, reserved, lists, writer)
        except BaseException as error:
            with suppress(Unavailable):
                self._discard(reserved, error)
            raise

    def _reserve(
        self, authority: Authority, kind: CrlKind
    ) -> tuple[CrlRecord, CrlScope | DeltaScope, Mapping[int, CrlShard]]:
        for _ in range(4):
            with suppress(Conflict):  # another worker took that number
                return self._try_to_reserve(authority, kind)
        return self._try_to_reserve(authority, kind)

    def _try_to_reserve(
        self, authority: Authority, kind: CrlKind
    ) -> tuple[CrlRecord, CrlScope | DeltaScope, Mapping[int, CrlShard]]:
        now = whole_second(self._clock())
        validity = self._settings.validity if kind is CrlKind.COMPLETE else self._settings.delta_validity
        next_update = min(now + validity, authority.certificate.not_valid_after_utc)
        with self._database.write() as tx:
            # Held while the number is taken: of two publishers, whatever their clocks say, the one that commits first
            # has the lower number and the place that is not behind the other's.
            through = self._log.hold(tx)
            crl_store.lock_unfinished(tx, authority.id)
            crl_store.give_up_abandoned(tx, authority.id, before=now - _ABANDONED_AFTER)
            crl_store.drop_given_up_content(tx, authority.id)
            number = next_crl_number(crl_store.last_number(tx, authority.id), now)
            earlier = crl_store.newest(tx, authority.id, CrlKind.COMPLETE, limit=2)
            record = CrlRecord(
                id=0,
                authority_id=authority.id,
                number=number,
                kind=kind,
                this_update=now,
                next_update=next_update,
                through=through,
                entries=0,
                size_bytes=0,
                chunks=0,
            )
            scope: CrlScope | DeltaScope
            if kind is CrlKind.DELTA:
                base = _base(authority, earlier, record)
                record = replace(record, base_number=base.number)
                scope = DeltaScope(authority_id=authority.id, through=through, base_through=base.through)
            else:
                scope = complete_scope(authority, record, earlier[0] if earlier else None)
            crl_id = crl_store.reserve(
                tx,
                authority.id,
                kind,
                number=number,
                base_number=record.base_number,
                this_update=now,
                next_update=next_update,
                through=through,
            )
            shards = self._shards_of(tx, authority) if kind is CrlKind.COMPLETE else {}
            self._audit.append(tx, _begun_event(record))
            self._second_place.append([number_record(authority.id, number)])
        return replace(record, id=crl_id), scope, shards

    def _shards_of(self, tx: Transaction, authority: Authority) -> Mapping[int, CrlShard]:
        layouts = [] if self._shards is None else self._shards.all(tx, authority.id)
        return {number: layout.shard(number) for layout in layouts for number in layout.numbers}

    def _build(
        self,
        authority: Authority,
        key: PrivateKey,
        reserved: CrlRecord,
        scope: CrlScope | DeltaScope,
        shards: Mapping[int, CrlShard],
        writer: ChunkWriter,
    ) -> list[ListBody]:
        """The list itself, then its shards' by number: written but for what `writer` holds back, and signed."""
        frame = self._frame(authority, reserved)
        chunk_size = chunk_bytes(1 + len(shards))
        public_key = authority.public_key
        with self._database.read() as tx:
            sizes = {size.shard: size.octets for size in self._log.measure(tx, scope)}
            unknown = set(sizes) - set(shards) - {None}
            if shards and unknown:
                raise CrlRefused(f"revoked certificates of shards that are in no layout: {sorted(map(str, unknown))}")
            whole = ListBody(
                writer,
                frame,
                shard=crl_store.WHOLE,
                octets=sum(sizes.values()),
                key=public_key,
                chunk_size=chunk_size,
            )
            parts = {
                number: ListBody(
                    writer,
                    replace(frame, shard_uri=shard.uri, freshest_uri=None),
                    shard=number,
                    octets=sizes.get(number, 0),
                    key=public_key,
                    chunk_size=chunk_size,
                )
                for number, shard in shards.items()
            }
            for page in self._log.entries(tx, scope):
                whole.add([entry for _, entry, _ in page])
                if parts:
                    dealt: dict[int | None, list[bytes]] = {}
                    for _, entry, shard in page:
                        dealt.setdefault(shard, []).append(entry)
                    for number, part in parts.items():
                        if number in dealt:
                            part.add(dealt[number])
        self._checkpoint(CrlStep.BUILT)
        lists = [whole, *parts.values()]
        for made in lists:
            made.finish(key, self._linter)
        self._checkpoint(CrlStep.SIGNED)
        return lists

    def _frame(self, authority: Authority, reserved: CrlRecord) -> CrlFrame:
        freshest = f"{self._publication_url}/crl/{authority.slug}-delta.crl"
        is_complete = reserved.kind is CrlKind.COMPLETE
        return CrlFrame(
            algorithm_identifier=scheme_of(authority.public_key).algorithm_identifier,
            issuer=authority.certificate.subject.public_bytes(),
            key_identifier=authority.key_identifier,
            number=reserved.number,
            this_update=reserved.this_update,
            next_update=reserved.next_update,
            freshest_uri=freshest if is_complete and self._has_deltas(authority) else None,
            base_number=reserved.base_number,
        )

    def _finish(
        self, authority: Authority, reserved: CrlRecord, lists: list[ListBody], writer: ChunkWriter
    ) -> CrlRecord:
        whole, *parts = (
            replace(
                reserved,
                shard=None if made.shard == crl_store.WHOLE else made.shard,
                entries=made.entries,
                size_bytes=made.size,
                chunks=made.chunks,
            )
            for made in lists
        )
        with self._database.write() as tx:
            writer.flush(tx)
            for part in parts:
                crl_store.add_shard(tx, part)
            crl_store.lock_unfinished(tx, authority.id)
            before = crl_store.latest(tx, authority.id, whole.kind)
            delta = crl_store.latest(tx, authority.id, CrlKind.DELTA)
            if not crl_store.publish(tx, whole):
                raise CrlSuperseded(f"number {whole.number}")
            crl_store.give_up_unfinished(tx, authority.id, whole.kind, below=whole.number)
            crl_store.drop_given_up_content(tx, authority.id)
            if before is not None:
                kept = None if delta is None else delta.base_number
                crl_store.drop_old_content(tx, authority.id, whole.kind, below=before.number, kept=kept)
            self._audit.append(tx, _published_event(whole, len(parts)))
            self._checkpoint(CrlStep.WRITTEN)
        self._checkpoint(CrlStep.PUBLISHED)
        return whole

    def _discard(self, reserved: CrlRecord, error: BaseException) -> None:
        """Forgets what was made so far. A refusal is audited."""
        with self._database.write() as tx:
            crl_store.give_up(tx, reserved.id)
            crl_store.drop_given_up_content(tx, reserved.authority_id)
            if isinstance(error, CrlRefused):
                self._audit.append(
                    tx,
                    AuditEvent(
                        name="crl.refused",
                        actor="system:ca",
                        outcome=Outcome.FAILED,
                        subject=f"authority:{reserved.authority_id}",
                        detail={
                            "number": reserved.number,
                            "kind": reserved.kind.value,
                            "findings": error.detail[:_MAX_DETAIL],
                        },
                    ),
                )

    def _has_deltas(self, authority: Authority) -> bool:
        return self._publication_url is not None and authority.role is AuthorityRole.ISSUING

    def _has_expired(self, authority: Authority) -> bool:
        return authority.certificate.not_valid_after_utc <= self._clock()

    def _is_fresh(self, record: CrlRecord, interval: timedelta) -> bool:
        now = self._clock()
        return -interval < now - record.this_update < interval and now < record.next_update


def _base(authority: Authority, newest: list[CrlRecord], delta: CrlRecord) -> CrlRecord:
    """The complete CRL before the latest, while somebody may still rely on it; else the latest."""
    if not newest:
        raise CrlBaseMissing(authority.slug)
    return newest[-1] if newest[-1].next_update > delta.this_update else newest[0]


def _begun_event(record: CrlRecord) -> AuditEvent:
    """Written before anything is signed: a list that nobody would know of is not made."""
    return AuditEvent(
        name="crl.begun",
        actor="system:ca",
        outcome=Outcome.OK,
        subject=f"authority:{record.authority_id}",
        detail={"number": record.number, "kind": record.kind.value, "through": record.through},
    )


def _published_event(record: CrlRecord, shards: int) -> AuditEvent:
    detail: dict[str, str | int | bool] = {
        "number": record.number,
        "kind": record.kind.value,
        "entries": record.entries,
        "through": record.through,
    }
    if record.base_number is not None:
        detail["base"] = record.base_number
    if shards:
        detail["shards"] = shards
    return AuditEvent(
        name="crl.published",
        actor="system:ca",
        outcome=Outcome.OK,
        subject=f"authority:{record.authority_id}",
        detail=detail,
    )
