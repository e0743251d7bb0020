"""The drill: back up, restore into a scratch place together with the journal, compare with what is live."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

from sqlalchemy import make_url

from ca_core.audit.sequencer import AuditSequencer
from ca_core.audit.verification import verify_log
from ca_core.backup import store
from ca_core.backup.copies import sqlite_path, verify_nothing_there
from ca_core.backup.errors import BackupRefused, DrillFailed
from ca_core.backup.service import BackupService
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import CrlScope


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """The figures. seconds: by step. differences: empty, or the drill failed. authorities, changes, certificates,
    crl_entries: how many were compared."""

    seconds: dict[str, float]
    authorities: int
    changes: int
    certificates: int
    crl_entries: int
    replayed_records: int
    audit_events_of_backup: int
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    head: int
    last_certificate: int
    layouts: list[tuple[object, ...]]


class _Timer:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


def run_drill(service: BackupService, url: str, scratch_url: str | None, *, clock: Clock, actor: str) -> DrillReport:
    """Every acknowledged act is in the copy that was restored, byte for byte. scratch_url: an empty place, of this kind
    of database, that the drill may fill; a SQLite file that it made is deleted at its end, and one that is there is
    neither filled nor deleted. None, for SQLite alone: one in the drill's own folder. Raises: DrillFailed,
    TargetNotEmpty; as the service.

    1. A backup. 2. What is live is noted. 3. The backup is restored together with the journal. 4. Compared: each status
    change, certificate and layout of shards, each authority's list, no serial twice, the audit chain.
    """
    if scratch_url is None:
        if not url.startswith("sqlite"):
            raise BackupRefused("--scratch: the URL of an empty PostgreSQL database")
        with service.drill_folder() as folder:
            inside = make_url(url).set(database=str(folder / "scratch.db"))
            return _drilled(service, url, inside.render_as_string(hide_password=False), folder, clock, actor)
    if not scratch_url.startswith("sqlite"):
        with service.drill_folder() as folder:
            return _drilled(service, url, scratch_url, folder, clock, actor)
    verify_nothing_there(sqlite_path(scratch_url))
    try:
        with service.drill_folder() as folder:
            return _drilled(service, url, scratch_url, folder, clock, actor)
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{sqlite_path(scratch_url)}{suffix}").unlink(missing_ok=True)


def _drilled(service: BackupService, url: str, scratch_url: str, folder: Path, clock: Clock, actor: str) -> DrillReport:
    timer = _Timer()
    live, copy = Database.open(url), Database.open(scratch_url)
    try:
        with timer.step("create"):
            manifest = service.create(folder / "backup", actor=actor)
        with live.read() as tx:
            noted = _Live(
                head=store.status_head(tx),
                last_certificate=store.last_certificate(tx),
                layouts=store.shard_layouts(tx),
            )
        with timer.step("restore"):
            restored = service.restore(folder / "backup", scratch_url, key_folder=folder / "keys", actor=actor)
        with timer.step("compare"), live.snapshot() as ours, copy.snapshot() as theirs:
            differences, figures = _compare(ours, theirs, noted, clock())
        with timer.step("audit_chain"):
            sequencer = AuditSequencer(copy, clock)
            while sequencer.run_once():
                pass
            chained = verify_log(copy).chained
    finally:
        live.dispose()
        copy.dispose()
    if differences:
        raise DrillFailed("; ".join(differences[:10]))
    return DrillReport(
        seconds=timer.seconds,
        authorities=figures["authorities"],
        changes=figures["changes"],
        certificates=figures["certificates"],
        crl_entries=figures["crl_entries"],
        replayed_records=restored.replay.records,
        audit_events_of_backup=min(chained, manifest.counts.get("audit_events", 0)),
        differences=tuple(differences),
    )


def _compare(ours: Transaction, theirs: Transaction, noted: _Live, now: datetime) -> tuple[list[str], dict[str, int]]:
    differences: list[str] = []
    figures = {"authorities": 0, "changes": 0, "certificates": 0, "crl_entries": 0}
    for mine, other in zip_longest(store.changes(ours, noted.head), store.changes(theirs, noted.head)):
        figures["changes"] += 1
        if mine != other:
            differences.append(f"status change {(mine or other)[0]}")
            break
    for mine, other in zip_longest(
        store.certificates(ours, noted.last_certificate), store.certificates(theirs, noted.last_certificate)
    ):
        figures["certificates"] += 1
        if mine is None or other is None or mine[:3] != other[:3] or bytes(mine[3]) != bytes(other[3]):
            differences.append(f"certificate {(mine or other)[0]}")
            break
    there = store.shard_layouts(theirs)
    differences += [f"shard layout {row[1]} of authority {row[0]}" for row in noted.layouts if row not in there]
    if store.reused_serials(theirs):
        differences.append("a serial stands twice")
    for authority_id in store.authorities(ours):
        figures["authorities"] += 1
        mine_list, count = _list_digest(ours, authority_id, noted.head, now)
        figures["crl_entries"] += count
        if mine_list != _list_digest(theirs, authority_id, noted.head, now)[0]:
            differences.append(f"the list of authority {authority_id}")
    return differences, figures


def _list_digest(tx: Transaction, authority_id: int, through: int, now: datetime) -> tuple[str, int]:
    """SHA-256 over the entries of a complete CRL as of a place in the log, and how many there are."""
    scope = CrlScope(authority_id=authority_id, through=through, previous_at=now, previous_through=0)
    state, count = sha256(), 0
    for page in StatusLog().entries(tx, scope):
        for _, entry, _ in page:
            state.update(bytes(entry))
            count += 1
    return state.hexdigest(), count
