"""The log's names (origins): a restore closes the one there was, and an operator begins another.

A database that was restored lacks events, so the key of the log would sign a second tree under one name. Names are
numbered; the first has no number in it. A name is in the second place before it is used, so a later restore of an
older backup knows that it is taken.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from ca_core.audit import origin_store, tree_store
from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.errors import LogClosed, LogOpen
from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.note import VerifierKey, parse_note
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.kernel.second_place import Record, SecondPlace

FIRST = 1
ORIGIN_KIND = "audit_origin"
_NUMBERED = re.compile(r"(.+/log)/[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOrigin:
    """Which of the log's names is the last, and whether a restore closed it."""

    number: int
    is_closed: bool


def origin_name(first: str, number: int) -> str:
    """The name of that number. first: the name of the first log, e.g. "pki.example.tw/pki/log"."""
    return first if number == FIRST else f"{first}/{number}"


def names_through(name: str, number: int) -> frozenset[str]:
    """The names of all logs up to that number. name: of any of them."""
    numbered = _NUMBERED.fullmatch(name)
    first = name if numbered is None else numbered.group(1)
    return frozenset(origin_name(first, each) for each in range(FIRST, number + 1))


def current_origin(tx: Transaction) -> LogOrigin:
    found = origin_store.latest(tx)
    return LogOrigin(number=FIRST, is_closed=False) if found is None else LogOrigin(number=found[0], is_closed=found[1])


def verify_open(tx: Transaction, number: int, name: str) -> None:
    """Accepts the log that checkpoints may be signed of. Raises: LogClosed."""
    origin = current_origin(tx)
    if origin.number != number:
        raise LogClosed(f"{name} has ended: log number {origin.number} goes on")
    if origin.is_closed:
        raise LogClosed(f"{name} ended with a restore: citizenid audit new-log begins another")


def close_origin(tx: Transaction, now: datetime) -> None:
    """Nothing is signed under the current name any more."""
    if origin_store.latest(tx) is None:
        origin_store.add(tx, FIRST, begun_at=now, closed_at=now)
    else:
        origin_store.close(tx, current_origin(tx).number, now)


def origin_record(number: int) -> Record:
    """A name's number that is taken from now on."""
    return {"kind": ORIGIN_KIND, "number": number}


def restore_origin(tx: Transaction, number: int, now: datetime) -> bool:
    """Takes note of a log that was begun after the backup, as closed: its events are lost. False where it is known."""
    if origin_store.is_known(tx, number):
        return False
    origin_store.add(tx, number, begun_at=now, closed_at=now)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LastKnown:
    """A closed log's last checkpoint that is known of. source: "memory" (the file beside its key) or "database"."""

    checkpoint: Checkpoint
    source: str


def last_known(database: Database, name: str, remembered: bytes | None) -> LastKnown | None:
    """Of the log of that name; None where it signed nothing that is known of. Raises: NoteRefused."""
    if remembered is not None:
        return LastKnown(checkpoint=parse_checkpoint(parse_note(remembered).text), source="memory")
    newest = None
    with database.snapshot() as tx:
        for stored in tree_store.all_checkpoints(tx):
            found = parse_checkpoint(parse_note(stored.note.encode()).text)
            newest = found if found.origin == name else newest
    return None if newest is None else LastKnown(checkpoint=newest, source="database")


class LogOrigins:
    """Begins a log under its own name and key, over the tree that is in the database."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock, second_place: SecondPlace) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._second_place = second_place

    def begin(self, number: int, key: VerifierKey, *, old_origin: str, last: LastKnown | None, actor: str) -> None:
        """The closed log's last checkpoint is told in the first event of the new one.

        Raises: LogOpen, where none is closed; SecondPlaceUnavailable.
        """
        detail: dict[str, str | int | bool] = {"origin": key.name, "key_id": key.key_id.hex(), "old_origin": old_origin}
        if last is not None:
            detail |= {
                "old_size": last.checkpoint.size,
                "old_root": last.checkpoint.root_hash.hex(),
                "old_known_from": last.source,
            }
        event = AuditEvent(
            name="audit.log_begun", actor=actor, outcome=Outcome.OK, subject=f"log:{number}", detail=detail
        )
        try:
            with self._database.write() as tx:
                origin = current_origin(tx)
                if not origin.is_closed or origin.number >= number:
                    raise LogOpen("only a restore ends a log, and none ended since the last was begun")
                origin_store.add(tx, number, begun_at=self._clock(), closed_at=None)
                self._audit.append(tx, event)
                self._second_place.append([origin_record(number)])
        except Conflict as error:
            raise LogOpen("another was begun at this moment") from error
