"""Bringing a restored database up to the journal: nothing is un-revoked, no serial becomes free again.

What the journal holds was durable before it was acknowledged, and a little of it may never have been committed: then
the next holder of the log's lock took the same number. Such changes are uncertain; those that end or suspend come into
force all the same, those that resume do not. What was derived from their certificates follows.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from ca_core.audit.origins import ORIGIN_KIND, restore_origin
from ca_core.backup.errors import JournalFault
from ca_core.crl_shards.model import shard_named_by
from ca_core.crl_shards.second_place import LAYOUT_KIND, parse_layout_record, restore_layout
from ca_core.issuance.model import Intent
from ca_core.issuance.past import PastCertificates
from ca_core.issuance.second_place import (
    BLOCKED_KEY_KIND,
    CERTIFICATE_KIND,
    INTENT_KIND,
    parse_blocked_key_record,
    parse_certificate_record,
    parse_intent_record,
)
from ca_core.issuance.signing import assemble
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.second_place import Record
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import Change, RevocationReason, StatusChange, follows
from ca_core.revocation.past import WITHOUT_CERTIFICATE, PastChange, PastChanges, follower
from ca_core.revocation.second_place import KIND as STATUS_KIND
from ca_core.revocation.second_place import parse_change_record
from ca_core.status.second_place import NUMBER_KIND, raise_number

_BATCH = 500
_ACTOR = "system:restore"

Records = Callable[[], Iterator[Record]]
"""The journal's records after the backup, each time from their beginning."""


@dataclass(slots=True)
class ReplayReport:
    """How many records there were, and what they added to the backup."""

    records: int = 0
    changes: int = 0
    uncertain: int = 0
    resumptions_left_out: int = 0
    certificates: int = 0
    intents: int = 0
    burnt: int = 0
    crl_numbers: int = 0
    shard_layouts: int = 0
    audit_origins: int = 0
    blocked_keys: int = 0
    unknown_authority: int = 0


@dataclass(slots=True)
class _Decided:
    """serials: by request id, of the intent that counts. last: by request id, the number of the certificate's record
    that counts: earlier ones were never committed. recorded: the same by authority and serial.
    layouts: the same by authority and generation of its shards.
    twice: numbers of the status log that were given twice. undone: acts whose numbers went to others as well, so that
    nothing of them was ever committed."""

    serials: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    recorded: dict[tuple[object, int], int] = field(default_factory=dict)
    layouts: dict[tuple[object, object], int] = field(default_factory=dict)
    twice: set[int] = field(default_factory=set)
    undone: set[object] = field(default_factory=set)


def replay(
    database: Database,
    records: Records,
    authorities: frozenset[int],
    now: datetime,
    *,
    perhaps_never_were: bool = False,
) -> ReplayReport:
    """Adds what the backup lacks. May be stopped anywhere and called again. Raises: JournalFault.

    perhaps_never_were: others were committed after these records, for whom nothing of them had happened.
    1. All records once, to know which intents became certificates and which numbers were given twice. 2. All records in
    order, in batches, a transaction each; what is there already is left as it is. 3. What is derived from a certificate
    follows it, where it was recorded or resumed while a change that was never committed had not happened.
    """
    decided = _decide(records())
    replayer = _Replayer(decided, authorities, now, perhaps_never_were)
    batch: list[Record] = []
    for record in records():
        batch.append(record)
        if len(batch) == _BATCH:
            replayer.apply(database, batch)
            batch = []
    replayer.apply(database, batch)
    with database.write() as tx:
        replayer.certificates.settle_ids(tx)
        replayer.settle_derived(tx)
    return replayer.report


def _decide(records: Iterable[Record]) -> _Decided:
    decided = _Decided()
    issued: dict[str, int] = {}
    seen: dict[int, tuple[object, object]] = {}
    for record in records:
        kind = record["kind"]
        if kind == INTENT_KIND:
            decided.serials[str(record["request_id"])] = int(str(record["serial"]), 16)
        elif kind == CERTIFICATE_KIND:
            issued[str(record["request_id"])] = int(str(record["serial"]), 16)
            number = decided.last[str(record["request_id"])] = int(record["n"] or 0)
            decided.recorded[record["authority_id"], int(str(record["serial"]), 16)] = number
        elif kind == LAYOUT_KIND:
            decided.layouts[record["authority_id"], record["generation"]] = int(record["n"] or 0)
        elif kind == STATUS_KIND:
            sequence = int(record["seq"] or 0)
            what, act = (record["authority_id"], record["serial"], record["change"]), record.get("act")
            earlier, earlier_act = seen.setdefault(sequence, (what, act))
            if earlier != what:
                decided.twice.add(sequence)
                decided.undone.add(earlier_act)
    decided.serials.update(issued)
    return decided


class _Replayer:
    def __init__(self, decided: _Decided, authorities: frozenset[int], now: datetime, perhaps_never_were: bool) -> None:
        self._perhaps_never_were = perhaps_never_were
        self._decided = decided
        self._authorities = authorities
        self._now = now
        self.certificates = PastCertificates()
        self._changes = PastChanges()
        self._log = StatusLog()
        self._origins: set[int] = set()
        self.report = ReplayReport()

    def apply(self, database: Database, batch: list[Record]) -> None:
        with database.write() as tx:
            for record in batch:
                try:
                    self._apply_one(tx, record)
                except (ValueError, KeyError, TypeError) as error:
                    raise JournalFault(f"record {record.get('n')}: {type(error).__name__}") from error

    def _apply_one(self, tx: Transaction, record: Record) -> None:
        self.report.records += 1
        if record["kind"] == ORIGIN_KIND:
            self.report.audit_origins += restore_origin(tx, int(record["number"] or 0), self._now)
        elif record["kind"] == BLOCKED_KEY_KIND:
            self.report.blocked_keys += self.certificates.restore_blocked_key(tx, parse_blocked_key_record(record))
        elif record.get("authority_id") not in self._authorities:
            self.report.unknown_authority += 1
        elif record["kind"] == INTENT_KIND:
            journaled = parse_intent_record(record)
            if self._decided.serials[journaled.intent.request_id] == journaled.intent.serial:
                self.report.intents += self.certificates.restore_intent(tx, journaled)
            else:
                self._burn(tx, journaled.intent)
        elif record["kind"] == CERTIFICATE_KIND:
            certificate = parse_certificate_record(record)
            if self._decided.last[certificate.request_id] != record["n"]:
                return
            self.report.certificates += self.certificates.restore_certificate(tx, certificate)
            origin_id = self.certificates.origin_id(tx, certificate.authority_id, certificate.serial)
            if origin_id is not None:
                self._origins.add(origin_id)
        elif record["kind"] == STATUS_KIND:
            change = parse_change_record(record)
            recorded = self._decided.recorded.get((change.authority_id, change.serial), 0)
            if recorded < int(record["n"] or 0):  # otherwise it came with a record of the certificate that never was
                self._change(tx, change, record.get("act"))
        elif record["kind"] == NUMBER_KIND:
            authority_id, number = int(record["authority_id"] or 0), int(record["number"] or 0)
            self.report.crl_numbers += raise_number(tx, authority_id, number, self._now)
        elif record["kind"] == LAYOUT_KIND:
            if self._decided.layouts[record["authority_id"], record["generation"]] == record["n"]:
                layout = parse_layout_record(record)
                self.report.shard_layouts += restore_layout(tx, layout, actor=str(record["actor"]))

    def _change(self, tx: Transaction, change: StatusChange, act: object) -> None:
        known = self.certificates.find(tx, change.authority_id, change.serial)
        is_uncertain = change.sequence in self._decided.twice or (act is not None and act in self._decided.undone)
        if known is not None and (is_uncertain or self._perhaps_never_were):
            self._origins.add(known.certificate_id)
        if self._changes.holds(tx, None if known is None else known.certificate_id, change):
            return
        self.report.uncertain += is_uncertain
        if is_uncertain and change.change is Change.RESUME:
            self.report.resumptions_left_out += 1
            return
        self._add(
            tx,
            PastChange(
                certificate_id=WITHOUT_CERTIFICATE if known is None else known.certificate_id,
                authority_id=change.authority_id,
                serial=change.serial,
                change=change.change,
                reason=change.reason,
                at=change.at,
                invalidity_date=change.invalidity_date,
                not_after=change.not_after,
                crl_shard=change.crl_shard,
                actor=change.actor,
                by_origin=change.by_origin,
            ),
        )
        if known is not None and change.reason is RevocationReason.KEY_COMPROMISE:
            self.report.blocked_keys += self.certificates.block_keys_of(
                tx, [known.der], reason=change.reason.value, actor=change.actor, now=change.at
            )

    def settle_derived(self, tx: Transaction) -> None:
        """Changes that were never committed may have left a certificate ended or suspended that, when others were
        derived from it or resumed, was good."""
        for origin_id in sorted(self._origins):
            latest = self._log.latest(tx, origin_id)
            if latest is None or latest.change is Change.RESUME:
                continue
            for derived in self.certificates.derived_from(tx, origin_id):
                if follows(self._log.latest(tx, derived.certificate_id), latest.change):
                    self._add(tx, follower(latest, derived))

    def _burn(self, tx: Transaction, intent: Intent) -> None:
        """An intent that another took the place of: its serial is never used, and listed as revoked."""
        if not self.certificates.burn(tx, intent, self._now):
            return
        self.report.burnt += 1
        certificate = x509.load_der_x509_certificate(assemble(intent.tbs, b"\x00"))
        self._add(
            tx,
            PastChange(
                certificate_id=WITHOUT_CERTIFICATE,
                authority_id=intent.authority_id,
                serial=intent.serial,
                change=Change.REVOKE,
                reason=RevocationReason.CESSATION_OF_OPERATION,
                at=self._now,
                invalidity_date=None,
                not_after=certificate.not_valid_after_utc,
                crl_shard=shard_named_by(certificate),
                actor=_ACTOR,
            ),
        )

    def _add(self, tx: Transaction, past: PastChange) -> None:
        (outcome,) = self._changes.add(tx, [past])
        self.report.changes += isinstance(outcome, StatusChange)
