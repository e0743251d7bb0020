"""Importing one file: batch by batch, each with its place in the journal, so that it may be killed anywhere."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Generic, Protocol, TypeVar

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.migration import store
from ca_core.migration.errors import ImportRunning
from ca_core.migration.model import CURABLE, Cursor, ImportReport, Kind, Reason, Refusal, Verdict
from ca_core.migration.model import Outcome as ItemOutcome
from ca_core.migration.store import Progress

BATCH = 500
_ITEM = TypeVar("_ITEM", bound="Entry")
_READ = TypeVar("_READ", bound="Entry", contravariant=True)

Told = Callable[[int, int], None]
"""Called after every batch with how far the file was read and the end of it, in the source's own unit."""


class Entry(Protocol):
    """What a source yields."""

    @property
    def place(self) -> str: ...

    @property
    def after(self) -> Cursor: ...


class Importer(Protocol[_READ]):
    """One kind of file."""

    def prepare(self, item: _READ) -> object:
        """Everything that needs no database; a `Reason` where that refuses it."""
        ...

    def write(self, tx: Transaction, prepared: Sequence[object]) -> list[ItemOutcome]:
        """Of each that was not refused, what came of it."""
        ...


def nobody_told(_done: int, _total: int) -> None:
    """Says nothing."""


class ImportJournal(Generic[_ITEM]):
    """Runs imports. checkpoint: told of each batch before its commit and after it; tests end the process there."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
        *,
        batch: int = BATCH,
        checkpoint: Callable[[str], None] | None = None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._batch = batch
        self._checkpoint = checkpoint or (lambda _step: None)

    def run(
        self,
        importer: Importer[_ITEM],
        items: Callable[[Cursor], Iterator[_ITEM]],
        *,
        kind: Kind,
        authority_id: int,
        digest: str,
        name: str,
        total: int,
        actor: str,
        told: Told = nobody_told,
    ) -> ImportReport:
        """The file's report. One that was begun goes on; one that was imported wholly is not read again.

        Where an entry of it lacked what may have come in since (`CURABLE`), it is read again from its beginning; the
        report is then of that reading, and what is here already is `known`. Raises: ImportRunning; Unavailable. What
        was written until then stays, and the same call goes on from there.
        """
        progress = self._begun(kind, authority_id, digest, name, actor)
        told(progress.cursor.offset, total)
        if progress.report.completed_at is not None:
            return progress.report
        waiting = items(progress.cursor)
        while batch := list(islice(waiting, self._batch)):
            progress = self._write(importer, batch, progress)
            self._checkpoint("recorded")
            told(progress.cursor.offset, total)
        return self._complete(progress, actor)

    def _begun(self, kind: Kind, authority_id: int, digest: str, name: str, actor: str) -> Progress:
        with self._database.read() as tx:
            found = store.find(tx, kind, authority_id, digest)
        if found is not None and found.report.completed_at is not None and CURABLE & found.report.reasons.keys():
            return self._again(found, actor)
        if found is not None:
            return found
        now = self._clock()
        try:
            with self._database.write() as tx:
                file_id = store.begin(
                    tx, kind=kind, authority_id=authority_id, digest=digest, name=name, actor=actor, now=now
                )
                self._audit.append(tx, _event("begun", kind, actor, {"authority_id": authority_id, "digest": digest}))
        except Conflict as error:
            raise ImportRunning(name) from error
        report = ImportReport(
            kind=kind,
            authority_id=authority_id,
            name=name,
            digest=digest,
            accepted=0,
            known=0,
            refused=0,
            started_at=now,
            completed_at=None,
        )
        return Progress(file_id=file_id, cursor=Cursor(), report=report)

    def _again(self, completed: Progress, actor: str) -> Progress:
        report = completed.report
        with self._database.write() as tx:
            if not store.reopen(tx, completed):
                raise ImportRunning(report.name)
            detail: dict[str, str | int | bool] = {"authority_id": report.authority_id, "digest": report.digest}
            self._audit.append(tx, _event("begun", report.kind, actor, detail | {"again": True}))
        return replace(
            completed,
            cursor=Cursor(),
            report=replace(report, accepted=0, known=0, refused=0, reasons={}, completed_at=None),
        )

    def _write(self, importer: Importer[_ITEM], batch: Sequence[_ITEM], before: Progress) -> Progress:
        """A batch: verified first, then written together with the file's new place."""
        prepared = [importer.prepare(item) for item in batch]
        with self._database.write() as tx:
            written = iter(importer.write(tx, [one for one in prepared if not isinstance(one, Reason)]))
            outcomes = [one if isinstance(one, Reason) else next(written) for one in prepared]
            refused = [
                (item.place, outcome.value)
                for item, outcome in zip(batch, outcomes, strict=True)
                if isinstance(outcome, Reason)
            ]
            report = before.report
            after = Progress(
                file_id=before.file_id,
                cursor=batch[-1].after,
                report=replace(
                    report,
                    accepted=report.accepted + outcomes.count(Verdict.ACCEPTED),
                    known=report.known + outcomes.count(Verdict.KNOWN),
                    refused=report.refused + len(refused),
                    reasons=dict(Counter(report.reasons) + Counter(reason for _, reason in refused)),
                ),
            )
            store.add_refusals(tx, before.file_id, report.refused + 1, refused)
            if not store.advance(tx, before, after):
                raise ImportRunning(report.name)
            self._checkpoint("written")
        return after

    def _complete(self, progress: Progress, actor: str) -> ImportReport:
        """The end of a file: one audit event with its digest and every count."""
        report = replace(progress.report, completed_at=self._clock())
        detail: dict[str, str | int | bool] = {
            "authority_id": report.authority_id,
            "digest": report.digest,
            "accepted": report.accepted,
            "known": report.known,
            "refused": report.refused,
            **{f"refused.{reason}": count for reason, count in sorted(report.reasons.items())},
        }
        with self._database.write() as tx:
            if not store.advance(tx, progress, replace(progress, report=report)):
                raise ImportRunning(report.name)
            self._audit.append(tx, _event("completed", report.kind, actor, detail))
        return report


def reports(database: Database) -> Iterator[ImportReport]:
    """Every file that was begun, oldest first."""
    for progress in _files(database):
        yield progress.report


def refused_entries(database: Database) -> Iterator[Refusal]:
    """Every entry that was refused, file by file, in bounded memory."""
    for progress in _files(database):
        after = 0
        while True:
            with database.read() as tx:
                found = store.refusals_of(tx, progress.file_id, after)
            if not found:
                break
            after = found[-1][0]
            yield from (refusal for _, refusal in found)


def _files(database: Database) -> Iterator[Progress]:
    after = 0
    while True:
        with database.read() as tx:
            page = store.page(tx, after)
        if not page:
            return
        after = page[-1].file_id
        yield from page


def _event(act: str, kind: Kind, actor: str, detail: dict[str, str | int | bool]) -> AuditEvent:
    return AuditEvent(
        name=f"migration.{act}", actor=actor, outcome=Outcome.OK, subject=f"import:{kind.value}", detail=detail
    )
