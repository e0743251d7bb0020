"""The record of what was stamped: one row a stamp, and one audit event over many rows."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from ca_core.audit import AuditEvent, AuditLog, Outcome
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict
from ca_core.timestamp import store
from ca_core.timestamp.errors import ClockNotTrusted
from ca_core.timestamp.model import Stamp

_GRACE = timedelta(seconds=120)
_MAX_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Rows after one id through another: how many, and SHA-256 over them."""

    after: int
    through: int
    count: int
    digest: str


class TimestampRecords:
    """Every stamp is a row, written before it is signed; a stamp that cannot be recorded is not given.

    An audit event for each would double the cost of a stamp and say nothing that the row does not. So the rows are
    sealed: an event says how many there are and their digest, and is a leaf of the Merkle log.
    """

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def record(self, stamp: Stamp, unit_id: int, *, behind: timedelta) -> None:
        """Takes the serial for good.

        Raises: ClockNotTrusted, where a stamp was given that is later by more than `behind`; Conflict, where the
        serial was used; Unavailable. Then nothing is recorded.
        """
        with self._database.write() as tx:
            newest = store.newest_gen_time(tx)
            if newest is not None and stamp.gen_time < newest - behind:
                raise ClockNotTrusted("behind the last stamp")
            store.add_stamp(tx, stamp, unit_id)

    def seal(self, actor: str) -> Seal | None:
        """Writes the audit event over the rows that are new and settled, None where there are none.

        What the worker calls every few minutes; where several do, one of them seals.
        """
        with self._database.read() as tx:
            was = store.sealed_through(tx)
        if was is None:
            with suppress(Conflict), self._database.write() as tx:
                store.begin_seals(tx)
            was = 0
        with self._database.read() as tx:
            through = store.last_before(tx, was, self._clock() - _GRACE)
        if through is None:
            return None
        seal = self.digest(was, min(through, was + _MAX_ROWS))
        with self._database.write() as tx:
            if not store.seal_through(tx, was, seal.through):
                return None
            detail: dict[str, str | int | bool] = {
                "after": seal.after,
                "through": seal.through,
                "count": seal.count,
                "sha256": seal.digest,
            }
            self._audit.append(tx, AuditEvent(name="timestamp.sealed", actor=actor, outcome=Outcome.OK, detail=detail))
        return seal

    def digest(self, after: int, through: int) -> Seal:
        """What a seal over those rows says: an auditor compares it with the event's."""
        count, state = 0, sha256()
        with self._database.snapshot() as tx:
            for row in store.stamps_in(tx, after, through):
                line = f"{row.id} {row.serial} {row.gen_time.isoformat()} {row.unit_id} {row.algorithm}"
                state.update(f"{line} {row.imprint.hex()}\n".encode("ascii"))
                count += 1
        return Seal(after=after, through=through, count=count, digest=state.hexdigest())

    def clock_refused(self, error: ClockNotTrusted) -> None:
        """The audit event of a clock that is not believed."""
        event = AuditEvent(
            name="timestamp.clock_not_trusted",
            actor="system:va",
            outcome=Outcome.FAILED,
            detail={"reason": error.detail},
        )
        with self._database.write() as tx:
            self._audit.append(tx, event)
