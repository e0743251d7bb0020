"""Whether a database is as new as the second place: noticed at the start, by whatever means it was put back.

A database that lost its last transactions lacks what stands at the end of the journal. So does one whose process died
between journal and commit; but then what is missing is a last act alone, that nobody was told of. That one is put right
at once, on the safe side; more than that is refused.
"""

from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.backup import store
from ca_core.backup.errors import DatabaseBehind
from ca_core.backup.journal import Journal
from ca_core.backup.quiet import wait_settled
from ca_core.backup.replay import replay
from ca_core.backup.service import ADVICE, BEHIND, verify_restored
from ca_core.issuance.past import PastCertificates
from ca_core.issuance.second_place import CERTIFICATE_KIND, INTENT_KIND
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.kernel.second_place import Record, SecondPlaceUnavailable
from ca_core.revocation.model import Change
from ca_core.revocation.past import PastChanges
from ca_core.revocation.second_place import KIND as STATUS_KIND
from ca_core.revocation.second_place import parse_change_record
from ca_core.status.second_place import NUMBER_KIND, holds_number

log = structlog.get_logger(__name__)
_WINDOWS = (256 * 1024, 16 * 1024 * 1024)
_ACTOR = "system:start"


def verify_standing(
    database: Database, journal: Journal | None, audit: AuditLog, clock: Clock, *, signed_size: int | None = None
) -> None:
    """Accepts a database that lacks nothing that was acknowledged. journal: None where this role has no second place.

    signed_size: entries of the largest tree that the key of the audit log that goes on has signed, where it is known.
    1. No restore is unfinished. 2. The audit log's tree is no smaller than one that was signed. 3. What the journal
    holds last is in the database, once those that are in between have ended. A database that is behind is marked, and
    so refused to every role, until `BackupService.catch_up` has ended. Where the journal is away this waits for no one:
    nothing is acknowledged then. Raises: RestoreUnfinished, DatabaseBehind.
    """
    verify_restored(database)
    with database.read() as tx:
        size = store.tree_size(tx)
    if signed_size is not None and size < signed_size:
        _refuse(database, clock, f"its audit log has {size} entries, and one of {signed_size} was signed")
    if journal is None:
        return
    try:
        missing = _missing(database, journal)
        if missing.is_empty:
            return
        wait_settled(database)
        missing = _missing(database, journal)
    except SecondPlaceUnavailable as error:
        log.warning("second_place_not_compared", detail=error.detail)
        return
    if missing.lost:
        _refuse(database, clock, f"the second place holds what it lacks: {', '.join(missing.lost)}")
    if missing.last:
        _put_right(database, missing.last, audit, clock)


@dataclass(slots=True)
class _Missing:
    """What the journal holds last and the database does not. lost: what was surely committed once, in words. last: the
    records of acts that perhaps never were, and that may come into force without harm."""

    lost: list[str] = field(default_factory=list)
    last: list[Record] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.lost and not self.last


def _missing(database: Database, journal: Journal) -> _Missing:
    """Looks as far back as there is something that the database has, within the last window."""
    missing = _Missing()
    for size in _WINDOWS:
        records, is_all = journal.newest(size)
        with database.snapshot() as tx:
            comparison = _Comparison(tx)
            for record in records:
                comparison.add(record)
            missing = comparison.missing()
        if comparison.is_met or is_all:
            return missing
    missing.lost.append(f"all of its last {len(records)} records")
    return missing


class _Comparison:
    """Records in their order, each looked for in the database. is_met: one was there."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._authorities = frozenset(store.authorities(tx))
        self._settled = store.settled_through(tx)
        self._certificates = PastCertificates()
        self._changes = PastChanges()
        self._intents: dict[object, object] = {}
        self._open_changes: dict[object, list[Record]] = {}
        self._found = _Missing()
        self.is_met = False

    def add(self, record: Record) -> None:
        if int(record["n"] or 0) <= self._settled:
            self.is_met = True
        elif record.get("authority_id") not in self._authorities:
            return  # a name of the audit log, or of a ceremony that did not end
        elif record["kind"] == NUMBER_KIND:
            self._number(record)
        elif record["kind"] == INTENT_KIND:
            self._intents[record["request_id"]] = record["act"]
            self.is_met |= self._is_taken(record)
        elif record["kind"] == CERTIFICATE_KIND:
            self._certificate(record)
        elif record["kind"] == STATUS_KIND:
            self._change(record)

    def missing(self) -> _Missing:
        """Acts on statuses are one at a time: at most the last one was never committed."""
        if len(self._open_changes) > 1:
            self._found.lost.append(f"{len(self._open_changes)} changes of status")
        for records in self._open_changes.values():
            self._found.last += records
        self._open_changes = {}
        return self._found

    def _number(self, record: Record) -> None:
        if holds_number(self._tx, int(record["authority_id"] or 0), int(record["number"] or 0)):
            self.is_met = True
        else:
            self._found.last.append(record)

    def _is_taken(self, record: Record) -> bool:
        serial = int(str(record["serial"]), 16)
        return self._certificates.is_serial_taken(self._tx, int(record["authority_id"] or 0), serial)

    def _certificate(self, record: Record) -> None:
        """Its intent was committed before it was signed, unless both are one act (an import)."""
        serial = int(str(record["serial"]), 16)
        if self._certificates.find(self._tx, int(record["authority_id"] or 0), serial) is not None:
            self.is_met = True
        elif self._is_taken(record):
            self._found.last.append(record)
        elif self._intents.get(record["request_id"]) != record["act"]:
            self._found.lost.append(f"certificate {serial:x}")

    def _change(self, record: Record) -> None:
        """One that stands in the database says of all before it that is not there: it was never committed."""
        change = parse_change_record(record)
        known = self._certificates.find(self._tx, change.authority_id, change.serial)
        if self._changes.holds(self._tx, None if known is None else known.certificate_id, change):
            self.is_met = True
            self._open_changes.clear()
        elif change.change is not Change.RESUME:
            self._open_changes.setdefault(record["act"], []).append(record)


def _refuse(database: Database, clock: Clock, what: str) -> None:
    log.error("database_behind", detail=what)
    with suppress(Conflict), database.write() as tx:  # another process marked it
        store.mark(tx, f"{BEHIND}{store.count_restorations(tx)}", clock())
    raise DatabaseBehind(f"the database is behind: {what}; {ADVICE}")


def _put_right(database: Database, records: list[Record], audit: AuditLog, clock: Clock) -> None:
    with database.read() as tx:
        authorities = frozenset(store.authorities(tx))
    report = replay(database, lambda: iter(records), authorities, clock(), perhaps_never_were=True)
    added = {
        "changes": report.changes,
        "certificates": report.certificates,
        "crl_numbers": report.crl_numbers,
    }
    if any(added.values()):
        log.warning("last_acts_put_right", **added)
        with database.write() as tx:
            audit.append(
                tx, AuditEvent(name="backup.last_acts_put_right", actor=_ACTOR, outcome=Outcome.OK, detail=added)
            )
