"""Status changes that were decided elsewhere or earlier, with their own dates: imported lists, a replayed journal.

They are written in batches, and an audit event for the whole of them is the caller's: hundreds of thousands of single
events would bury what people do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from ca_core.kernel.database import Statement, Transaction
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.revocation import store
from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.errors import RevocationError
from ca_core.revocation.model import (
    Change,
    RevocationReason,
    StatusChange,
    follows,
    reason_of_derived,
    revocation_date,
    verify_may_follow,
    verify_reason_fits,
)
from ca_core.revocation.ports import Issued
from ca_core.revocation.second_place import change_record

_SET_HEAD = Statement(update(store.head).where(store.head.c.id == 1).values(seq=bindparam("new_seq")))
_ADD = Statement(insert(store.changes).values({column.name: bindparam(column.name) for column in store.changes.c}))
_OF_SERIAL = Statement(
    select(store.changes.c.change, store.changes.c.reason, store.changes.c.at).where(
        store.changes.c.authority_id == bindparam("authority_id"), store.changes.c.serial == bindparam("serial")
    )
)
WITHOUT_CERTIFICATE = 0
"""As certificate_id: of a serial that was burnt or whose certificate is not here. It gets a negative one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastChange:
    """A change that somebody else decided. at: the revocation date that goes into lists."""

    certificate_id: int
    authority_id: int
    serial: int
    change: Change
    reason: RevocationReason
    at: datetime
    invalidity_date: datetime | None
    not_after: datetime
    crl_shard: int | None
    actor: str
    by_origin: bool = False


Followers = Callable[[PastChange], Sequence[PastChange]]
"""What a change is for whatever was derived from its certificate."""


def follower(change: PastChange | StatusChange, derived: Issued) -> PastChange:
    """What a change of its origin is for a derived certificate."""
    return PastChange(
        certificate_id=derived.certificate_id,
        authority_id=derived.authority_id,
        serial=derived.serial,
        change=change.change,
        reason=reason_of_derived(change.reason),
        at=change.at,
        invalidity_date=change.invalidity_date,
        not_after=derived.certificate.not_valid_after_utc,
        crl_shard=derived.crl_shard,
        actor=change.actor,
        by_origin=True,
    )


def nobody_follows(change: PastChange) -> Sequence[PastChange]:
    """Where the changes of what was derived come by themselves."""
    return ()


class PastChanges:
    """Appends to the log. Nothing here asks whether the certificate exists: the caller has it."""

    def __init__(self, second_place: SecondPlace = WITHOUT_SECOND_PLACE) -> None:
        self._second_place = second_place

    def add(
        self, tx: Transaction, wanted: Sequence[PastChange], followers: Followers = nobody_follows
    ) -> list[StatusChange | RevocationError]:
        """For each, in order, the row that was written, or why it may not follow what stands.

        followers: of those, what follows is written with each, in the same act. The log's lock is held from the first
        to the caller's commit. One row of the log's head is written a batch.
        """
        if not wanted:
            return []
        sequence = store.next_sequence(tx) - 1
        outcomes: list[StatusChange | RevocationError] = []
        states: dict[int, StatusChange | None] = {}
        rows: list[StatusChange] = []
        for one in wanted:
            try:
                verify_reason_fits(one.change, one.reason)
                latest = self._latest(tx, one.certificate_id, states)
                verify_may_follow(
                    None if latest is None else latest.change,
                    one.change,
                    makes_own=latest is not None and latest.by_origin and not one.by_origin,
                )
            except RevocationError as refused:
                outcomes.append(refused)
                continue
            sequence += 1
            change = _numbered(one, sequence)
            states[change.certificate_id] = change
            rows.append(change)
            outcomes.append(change)
            for along in followers(one):
                latest = self._latest(tx, along.certificate_id, states)
                if follows(latest, along.change):
                    sequence += 1
                    at = revocation_date(latest, along.change, along.at)
                    following = _numbered(replace(along, at=at), sequence)
                    states[following.certificate_id] = following
                    rows.append(following)
        tx.execute_many(_ADD, [_row(row) for row in rows])
        tx.execute(_SET_HEAD, new_seq=sequence)
        self._second_place.append([change_record(row) for row in rows])
        return outcomes

    def holds(self, tx: Transaction, certificate_id: int | None, change: StatusChange) -> bool:
        """Whether the log has this change of that certificate (None: of a serial without one), under any number."""
        wanted = (change.change, change.reason, change.at, change.by_origin)
        if certificate_id is not None:
            history = store.of_certificate(tx, certificate_id)
            return any((one.change, one.reason, one.at, one.by_origin) == wanted for one in history)
        found = tx.all(_OF_SERIAL, authority_id=change.authority_id, serial=format(change.serial, "040x"))
        return (change.change.value, change.reason.value, change.at) in found

    def _latest(
        self, tx: Transaction, certificate_id: int, states: dict[int, StatusChange | None]
    ) -> StatusChange | None:
        if certificate_id == WITHOUT_CERTIFICATE:
            return None
        if certificate_id not in states:
            states[certificate_id] = store.latest(tx, certificate_id)
        return states[certificate_id]


def _numbered(one: PastChange, sequence: int) -> StatusChange:
    return StatusChange(
        sequence=sequence,
        certificate_id=-sequence if one.certificate_id == WITHOUT_CERTIFICATE else one.certificate_id,
        authority_id=one.authority_id,
        serial=one.serial,
        change=one.change,
        reason=one.reason,
        at=one.at,
        invalidity_date=one.invalidity_date,
        actor=one.actor,
        not_after=one.not_after,
        crl_shard=one.crl_shard,
        by_origin=one.by_origin,
    )


def _row(change: StatusChange) -> dict[str, object]:
    return {
        "seq": change.sequence,
        "certificate_id": change.certificate_id,
        "authority_id": change.authority_id,
        "serial": format(change.serial, "040x"),
        "change": change.change.value,
        "reason": change.reason.value,
        "at": change.at,
        "invalidity_date": change.invalidity_date,
        "actor": change.actor,
        "not_after": change.not_after,
        "crl_shard": change.crl_shard,
        "by_origin": change.by_origin,
        "crl_entry_der": crl_entry(change.serial, change.at, change.reason, change.invalidity_date),
    }
