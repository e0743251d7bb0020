"""Changing a certificate's status."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, Record, SecondPlace
from ca_core.revocation import store
from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.errors import CertificateNotFound, InvalidityDateRefused, OriginNotGood, RevocationError
from ca_core.revocation.model import (
    FIRST_DATE,
    Change,
    RevocationReason,
    StatusChange,
    follows,
    reason_of_derived,
    revocation_date,
    verify_may_follow,
    verify_reason_fits,
)
from ca_core.revocation.ports import Certificates, Issued
from ca_core.revocation.second_place import change_record

_AUDIT_NAMES = {
    Change.REVOKE: "certificate.revoked",
    Change.SUSPEND: "certificate.suspended",
    Change.RESUME: "certificate.resumed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCommand:
    """A change that somebody wants. A certificate is named by its authority and serial, never by an issuer's name."""

    authority_id: int
    serial: int
    change: Change
    reason: RevocationReason
    actor: str
    invalidity_date: datetime | None = None
    request_id: str = ""


class RevocationService:
    """Revokes, suspends, resumes; what was derived from a certificate follows it. When a call returns, the changes and
    their audit events are durable.

    Decisions are made one at a time, under the lock of the log's head: of eight that revoke at once, one does.
    """

    def __init__(
        self,
        database: Database,
        certificates: Certificates,
        audit: AuditLog,
        clock: Clock,
        *,
        second_place: SecondPlace = WITHOUT_SECOND_PLACE,
    ) -> None:
        self._second_place = second_place
        self._database = database
        self._certificates = certificates
        self._audit = audit
        self._clock = clock

    def revoke(
        self,
        authority_id: int,
        serial: int,
        reason: RevocationReason,
        actor: str,
        invalidity_date: datetime | None = None,
        *,
        request_id: str = "",
    ) -> StatusChange:
        """Ends a certificate for good. Raises: CertificateNotFound, AlreadyRevoked, ReasonRefused,
        InvalidityDateRefused."""
        command = ChangeCommand(
            authority_id=authority_id,
            serial=serial,
            change=Change.REVOKE,
            reason=reason,
            actor=actor,
            invalidity_date=invalidity_date,
            request_id=request_id,
        )
        with self._database.write() as tx:
            return self.apply(tx, command)

    def suspend(self, authority_id: int, serial: int, actor: str, *, request_id: str = "") -> StatusChange:
        """Puts a good certificate on hold. Raises: CertificateNotFound, AlreadyRevoked, AlreadySuspended."""
        command = ChangeCommand(
            authority_id=authority_id,
            serial=serial,
            change=Change.SUSPEND,
            reason=RevocationReason.CERTIFICATE_HOLD,
            actor=actor,
            request_id=request_id,
        )
        with self._database.write() as tx:
            return self.apply(tx, command)

    def resume(self, authority_id: int, serial: int, actor: str, *, request_id: str = "") -> StatusChange:
        """Makes a suspended certificate good again. Raises: CertificateNotFound, AlreadyRevoked, NotSuspended,
        OriginNotGood."""
        command = ChangeCommand(
            authority_id=authority_id,
            serial=serial,
            change=Change.RESUME,
            reason=RevocationReason.REMOVE_FROM_CRL,
            actor=actor,
            request_id=request_id,
        )
        with self._database.write() as tx:
            return self.apply(tx, command)

    def change_together(self, commands: Sequence[ChangeCommand]) -> list[StatusChange | RevocationError]:
        """For each, in order, its change or why it may not be: all of those that may, in one transaction.

        For what belongs together, as the certificates of a card: nobody ever finds a part of them changed. To the
        second place it is one act. One that followed another of them counts as changed.
        """
        with self._database.write() as tx:
            store.hold_head(tx)
            outcomes: list[StatusChange | RevocationError] = []
            done: dict[tuple[int, int], StatusChange] = {}
            records: list[Record] = []
            for command in commands:
                followed = done.get((command.authority_id, command.serial))
                if followed is not None and followed.change is command.change:
                    outcomes.append(followed)
                    continue
                try:
                    self._judged(tx, command)
                except RevocationError as refused:
                    outcomes.append(refused)
                    continue
                changes, written = self._write(tx, command)
                outcomes.append(changes[0])
                records += written
                done.update({(change.authority_id, change.serial): change for change in changes})
            self._second_place.append(records)
            return outcomes

    def apply(self, tx: Transaction, command: ChangeCommand) -> StatusChange:
        """The change, within a transaction of the caller's (a replacement revokes what it replaces).

        1. The log's lock: from here to the commit nobody else decides. 2. The reason fits the change, the certificate
        is one of that authority, its latest change and its origin's allow this one. 3. The change with its CRL entry.
        4. The audit event. 5. A key that is compromised is never certified again. 6. The same for what was derived from
        the certificate. 7. The second place. After a refusal the caller's transaction must not commit.
        """
        changes, records = self._write(tx, command)
        self._second_place.append(records)
        return changes[0]

    def hold(self, tx: Transaction) -> None:
        """Nobody else decides until the transaction ends. For whoever records what is derived from a certificate."""
        store.hold_head(tx)

    def inherit(self, tx: Transaction, origin_id: int, derived: Issued, *, actor: str, request_id: str) -> list[Record]:
        """What befell a certificate before the one that is derived from it was recorded befalls that one at once.

        In the transaction that records it, and that has `hold`. Returns what the second place must hold of it.
        """
        latest = store.latest(tx, origin_id)
        if latest is None or latest.change is Change.RESUME:
            return []
        _, records = self._write(tx, _follower(latest, derived, actor, request_id), by_origin=True)
        return records

    def _write(
        self, tx: Transaction, command: ChangeCommand, *, by_origin: bool = False
    ) -> tuple[list[StatusChange], list[Record]]:
        """Steps 1 to 6: the change, those that follow from it, and the records of all."""
        sequence = store.next_sequence(tx)
        issued, latest, now = self._judged(tx, command, by_origin=by_origin)
        at = revocation_date(latest, command.change, now)
        change = StatusChange(
            sequence=sequence,
            certificate_id=issued.certificate_id,
            authority_id=command.authority_id,
            serial=command.serial,
            change=command.change,
            reason=command.reason,
            at=at,
            invalidity_date=_whole_second(command.invalidity_date),
            actor=command.actor,
            not_after=issued.certificate.not_valid_after_utc,
            crl_shard=issued.crl_shard,
            by_origin=by_origin,
        )
        store.add(tx, change, crl_entry(change.serial, at, change.reason, change.invalidity_date))
        self._audit.append(tx, _audit_event(change, command.request_id))
        changes, records = [change], [change_record(change)]
        if change.reason is RevocationReason.KEY_COMPROMISE:
            records += self._blocked(tx, issued, change, command.request_id, now)
        for derived in self._certificates.derived_from(tx, issued.certificate_id):
            if follows(store.latest(tx, derived.certificate_id), change.change):
                follower = _follower(change, derived, command.actor, command.request_id)
                more, written = self._write(tx, follower, by_origin=True)
                changes += more
                records += written
        return changes, records

    def _blocked(
        self, tx: Transaction, issued: Issued, change: StatusChange, request_id: str, now: datetime
    ) -> list[Record]:
        """The key of a certificate that was revoked because it is compromised."""
        reason = change.reason.value
        record = self._certificates.block_key_of(tx, issued.certificate, reason=reason, actor=change.actor, now=now)
        if record is None:
            return []
        self._audit.append(
            tx,
            AuditEvent(
                name="key.blocked",
                actor=change.actor,
                outcome=Outcome.OK,
                subject=f"certificate:{change.certificate_id}",
                request_id=request_id,
                detail={"reason": reason},
            ),
        )
        return [record]

    def _judged(
        self, tx: Transaction, command: ChangeCommand, *, by_origin: bool = False
    ) -> tuple[Issued, StatusChange | None, datetime]:
        """The certificate, its latest change, and now; under the log's lock. Raises: RevocationError.

        by_origin: it follows from a change that was judged, or moved in with its own invalidity date.
        """
        verify_reason_fits(command.change, command.reason)
        issued = self._certificates.find(tx, command.authority_id, command.serial)
        if issued is None:
            raise CertificateNotFound(f"authority {command.authority_id}")
        now = self._clock()
        if not by_origin:
            _verify_invalidity_date(command.invalidity_date, now)
        latest = store.latest(tx, issued.certificate_id)
        verify_may_follow(
            None if latest is None else latest.change,
            command.change,
            makes_own=latest is not None and latest.by_origin and not by_origin,
        )
        if command.change is Change.RESUME and issued.derived_from is not None:
            origins = store.latest(tx, issued.derived_from)
            if origins is not None and origins.change is not Change.RESUME:
                raise OriginNotGood(f"certificate {issued.derived_from}")
        return issued, latest, now


def _follower(change: StatusChange, derived: Issued, actor: str, request_id: str) -> ChangeCommand:
    """What a change of its origin is for a derived certificate."""
    return ChangeCommand(
        authority_id=derived.authority_id,
        serial=derived.serial,
        change=change.change,
        reason=reason_of_derived(change.reason),
        actor=actor,
        invalidity_date=change.invalidity_date,
        request_id=request_id,
    )


def _verify_invalidity_date(wanted: datetime | None, now: datetime) -> None:
    if wanted is not None and (wanted.tzinfo is None or not FIRST_DATE <= wanted <= now):
        raise InvalidityDateRefused("it needs a zone, and lies between 1950 and now")


def _whole_second(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(microsecond=0)


def _audit_event(change: StatusChange, request_id: str) -> AuditEvent:
    return AuditEvent(
        name=_AUDIT_NAMES[change.change],
        actor=change.actor,
        outcome=Outcome.OK,
        subject=f"certificate:{change.certificate_id}",
        request_id=request_id,
        detail={
            "authority_id": change.authority_id,
            "serial": format(change.serial, "x"),
            "reason": change.reason.value,
            "sequence": change.sequence,
            "by_origin": change.by_origin,
        },
    )
