"""A proof that the published lists say what the database says: from the log's columns, not from the stored entries
and not by the statements that the lists were made with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from ca_core.authorities.model import Authority
from ca_core.crl_shards.model import CrlShard
from ca_core.crl_shards.service import ShardLayouts
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import Change, StatusChange
from ca_core.status import crl_store
from ca_core.status.crl_archive import CrlArchive
from ca_core.status.crl_comparison import CrlComparison, Item, comparison
from ca_core.status.crl_reader import CrlFacts, CrlReader
from ca_core.status.errors import CrlMalformed, SigningFault
from ca_core.status.model import CrlKind, CrlRecord
from ca_core.status.ports import Authorities

_BATCH = 2_000


@dataclass(slots=True, kw_only=True)
class CrlCheck:
    """What was compared for one authority, and what was found wrong. No fault: everything that is named is proven."""

    authority: str
    complete: int | None = None
    previous: int | None = None
    delta: int | None = None
    shards: int = 0
    entries: int = 0
    without_shard: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str, serials: Iterable[str] = ()) -> None:
        named = " ".join(serials)
        self.faults.append(f"{what}: {named}" if named else what)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Editions:
    complete: CrlRecord
    previous: CrlRecord | None
    delta: CrlRecord | None
    base: CrlRecord | None
    shards: tuple[CrlRecord, ...]
    uris: dict[int, CrlShard]
    due_shards: frozenset[int]


class CrlChecker:
    """Compares, for one authority at a time: complete = union of shards = log; base with delta = log; and against the
    complete CRL before, that nothing left the list before its time. Streaming: memory does not grow with the lists."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        log: StatusLog,
        clock: Clock,
        *,
        shards: ShardLayouts | None = None,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._log = log
        self._clock = clock
        self._shards = shards
        self._archive = CrlArchive(database, authorities)

    def check_all(self) -> list[CrlCheck]:
        """Every authority that has published a CRL."""
        checks = [self.check(authority.slug) for authority in self._authorities.all()]
        return [check for check in checks if check.complete is not None]

    def check(self, authority_slug: str) -> CrlCheck:
        """Raises: AuthorityNotFound; CrlSuperseded, where lists were replaced while they were read: try again."""
        authority = self._authorities.by_slug(authority_slug)
        check = CrlCheck(authority=authority_slug)
        editions = self._editions(authority)
        if editions is None:
            return check
        check.complete = editions.complete.number
        check.previous = None if editions.previous is None else editions.previous.number
        check.delta = None if editions.delta is None else editions.delta.number
        check.shards = len(editions.shards)
        with comparison() as lists:
            try:
                self._load(authority, editions, lists, check)
            except (CrlMalformed, SigningFault) as error:
                check.fault(f"{error.code}: {error.detail}")
                return check
            self._expect(authority, editions, lists, check)
            _compare(editions, lists, check)
        return check

    def _editions(self, authority: Authority) -> _Editions | None:
        with self._database.snapshot() as tx:
            completes = crl_store.newest(tx, authority.id, CrlKind.COMPLETE, limit=2)
            if not completes:
                return None
            delta = crl_store.latest(tx, authority.id, CrlKind.DELTA)
            base = None
            if delta is not None and delta.base_number is not None:
                base = crl_store.by_number(tx, authority.id, delta.base_number)
            numbers = crl_store.shard_numbers(tx, completes[0].id)
            shards = (crl_store.shard_of(tx, completes[0].id, number) for number in numbers)
            layouts = [] if self._shards is None else self._shards.all(tx, authority.id)
            return _Editions(
                complete=completes[0],
                previous=completes[1] if len(completes) > 1 else None,
                delta=delta,
                base=base,
                shards=tuple(record for record in shards if record is not None),
                uris={number: layout.shard(number) for layout in layouts for number in layout.numbers},
                due_shards=frozenset(
                    number
                    for layout in layouts
                    if layout.introduced_at < completes[0].this_update
                    for number in layout.numbers
                ),
            )

    def _load(self, authority: Authority, editions: _Editions, lists: CrlComparison, check: CrlCheck) -> None:
        """Reads every list from its octets, signature and frame verified."""
        now = self._clock()
        check.entries = self._load_list(authority, editions.complete, "complete", lists, check)
        if editions.complete.next_update <= now:
            check.fault("the complete CRL is past its nextUpdate")
        if editions.previous is not None:
            self._load_list(authority, editions.previous, "previous", lists, check)
        absent = sorted(editions.due_shards - {record.shard for record in editions.shards})
        if absent:
            check.fault("shards without a list", map(str, absent[:20]))
        for record in editions.shards:
            uri = None if record.shard is None else editions.uris.get(record.shard)
            self._load_list(authority, record, "shards", lists, check, uri="" if uri is None else uri.uri)
        if editions.delta is None:
            return
        if editions.base is None:
            check.fault("the delta's base was never published")
            return
        if editions.delta.next_update <= now:
            check.fault("the delta is past its nextUpdate")
        self._load_list(authority, editions.base, "combined", lists, check)
        reader = self._reader(authority, editions.delta)
        lists.apply_delta("combined", reader.entries())
        _compare_facts(authority, editions.delta, reader.facts, None, check)

    def _load_list(
        self,
        authority: Authority,
        record: CrlRecord,
        name: str,
        lists: CrlComparison,
        check: CrlCheck,
        *,
        uri: str | None = None,
    ) -> int:
        reader = self._reader(authority, record)
        came, twice = lists.load(name, ((entry, record.shard) for entry in reader.entries()))
        if twice:
            check.fault(f"{twice} serials stand twice in the {name} list {record.number}")
        if came != record.entries:
            check.fault(f"the {name} list {record.number} has {came} entries, its row says {record.entries}")
        _compare_facts(authority, record, reader.facts, uri, check)
        return came

    def _reader(self, authority: Authority, record: CrlRecord) -> CrlReader:
        chunks = (self._archive.chunk(record, position) for position in range(record.chunks))
        return CrlReader(chunks, authority.public_key)

    def _expect(self, authority: Authority, editions: _Editions, lists: CrlComparison, check: CrlCheck) -> None:
        """What the log says that each list must hold, and may."""
        through = max(editions.complete.through, 0 if editions.delta is None else editions.delta.through)
        batch: dict[str, list[Item]] = {
            name: [] for name in ("expected", "allowed", "expected_shards", "gone", "must", "may")
        }
        with self._database.snapshot() as tx:
            changes = self._log.by_certificate(tx, authority.id, through)
            for _, group in groupby(changes, key=attrgetter("certificate_id")):
                for name, item in _expectations(list(group), editions, authority):
                    batch[name].append(item)
                    if len(batch[name]) >= _BATCH:
                        lists.load(name, batch[name])
                        batch[name].clear()
        for name, items in batch.items():
            lists.load(name, items)


def _expectations(changes: list[StatusChange], editions: _Editions, authority: Authority) -> Iterator[tuple[str, Item]]:
    """Of one certificate, by all its changes, oldest first."""
    complete, previous = editions.complete, editions.previous
    before = authority.certificate.not_valid_before_utc if previous is None else previous.this_update
    seen = 0 if previous is None else previous.through
    last = _last(changes, complete.through)
    if last is not None:
        item = (crl_entry(last.serial, last.at, last.reason, last.invalidity_date), last.crl_shard)
        has_gone = last.not_after < min(before, complete.this_update) and last.sequence <= seen
        if last.change is Change.RESUME or has_gone:
            yield "gone", item
        if last.change is not Change.RESUME:
            yield "allowed", item  # of two lists made at once, the later may still have what the earlier saw off
            if not has_gone:
                yield "expected", item
                if last.crl_shard is not None:
                    yield "expected_shards", item
    if editions.delta is None or editions.base is None:
        return
    last = _last(changes, editions.delta.through)
    if last is not None and last.change is not Change.RESUME:
        item = (crl_entry(last.serial, last.at, last.reason, last.invalidity_date), None)
        yield "may", item
        if last.not_after >= editions.base.this_update or last.sequence > editions.base.through:
            yield "must", item


def _last(changes: list[StatusChange], through: int) -> StatusChange | None:
    return next((change for change in reversed(changes) if change.sequence <= through), None)


def _compare(editions: _Editions, lists: CrlComparison, check: CrlCheck) -> None:
    pairs = [
        ("expected", "complete", "revoked in the database and not so on the complete CRL"),
        ("complete", "allowed", "on the complete CRL and not so in the database"),
    ]
    if editions.shards:
        pairs += [
            ("expected_shards", "shards", "revoked in the database and not so in its shard"),
            ("shards", "allowed", "in a shard and not so in the database"),
            ("shards", "complete", "in a shard and not so on the complete CRL"),
        ]
    if editions.delta is not None and editions.base is not None:
        pairs += [
            ("must", "combined", "revoked in the database and not so by base and delta"),
            ("combined", "may", "revoked by base and delta and not so in the database"),
        ]
    for left, right, what in pairs:
        serials = lists.missing(left, right, same_shard="shards" in (left, right) and right != "complete")
        if serials:
            check.fault(what, serials)
    check.without_shard = lists.count_without_shard("complete", "allowed")
    if editions.shards and check.entries != check.without_shard + sum(record.entries for record in editions.shards):
        check.fault("the complete CRL is not the union of its shards")
    if editions.previous is not None:
        serials = lists.vanished("previous", "complete", "gone")
        if serials:
            check.fault(f"on CRL {editions.previous.number} and gone before its time", serials)


def _compare_facts(authority: Authority, record: CrlRecord, facts: CrlFacts, uri: str | None, check: CrlCheck) -> None:
    """What the signed octets say against what the row says."""
    expected = CrlFacts(
        issuer=authority.certificate.subject.public_bytes(),
        key_identifier=authority.key_identifier,
        number=record.number,
        this_update=record.this_update,
        next_update=record.next_update,
        base_number=record.base_number,
        shard_uri=uri,
    )
    for name in CrlFacts.__slots__:
        if getattr(facts, name) != getattr(expected, name):
            check.fault(f"{record.kind} CRL {record.number}: {name} is not what was recorded")
