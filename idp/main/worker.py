"""What is done without being asked: each job a plain call, repeated for as long as the process lives."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from starlette.concurrency import run_in_threadpool

from ca_core.kernel.clock import system_clock
from ca_core.statement.store import StatementStore
from idp.main.authority import CertificationAuthority
from idp.main.log_keys import LogFollower
from idp.main.metrics import JobWatch
from idp.main.provider import Provider

log = structlog.get_logger(__name__)
_ACTOR = "system:worker"
_STATEMENTS_KEPT = timedelta(hours=1)
_LONG_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A call and how many seconds pass between its end and its next start. Safe to run on several nodes at once."""

    name: str
    every_s: float
    run: Callable[[], object]


def authority_jobs(ca: CertificationAuthority) -> list[Job]:
    """What the certification authority needs: open issuances ended, lists and responders fresh, the log sequenced."""
    jobs = [*signing_jobs(ca), *checkpoint_jobs(ca), *responder_jobs(ca), *keeping_jobs(ca)]
    if ca.settings.card_authority is not None:
        cards = ca.cards()
        jobs.append(Job(name="card-recovery", every_s=300, run=lambda: cards.recover(_ACTOR)))
    return jobs


def signing_jobs(ca: CertificationAuthority) -> list[Job]:
    """What authorities' keys are needed for; the role `worker` asks the role `ca` for it."""
    return [
        Job(name="issuance-recovery", every_s=300, run=ca.issuer.recover),
        Job(name="crl", every_s=60, run=ca.lists.publish_due),
    ]


def checkpoint_jobs(ca: CertificationAuthority) -> list[Job]:
    """Where the audit log's key is: in the role `ca`, or `all`."""
    return [Job(name="audit-checkpoint", every_s=10, run=LogFollower(ca).publish_due)]


def responder_jobs(ca: CertificationAuthority) -> list[Job]:
    """What is done where the keys for OCSP and time stamps are: in the role `va`, or `all`."""
    jobs = [
        Job(name="ocsp-responders", every_s=3_600, run=lambda: _ensure_responders(ca)),
        Job(name="ocsp-answers", every_s=2, run=ca.ocsp.presigned.run_once),
    ]
    units = ca.timestamp_units
    if units is not None:
        jobs += [
            Job(name="timestamp-unit", every_s=3_600, run=lambda: ca.ensure_timestamp_unit(units)),
            Job(name="timestamp-seal", every_s=300, run=lambda: ca.timestamp_records.seal(_ACTOR)),
        ]
    return jobs


def _ensure_responders(ca: CertificationAuthority) -> None:
    """Says also which responders another house has to renew (`citizenid ca responder-request`)."""
    for slug, not_after in ca.responders.ending().items():
        log.warning("ocsp_responder_ending", authority=slug, not_after=not_after.isoformat())
    ca.ensure_responders()


def keeping_jobs(ca: CertificationAuthority) -> list[Job]:
    """What needs no key at all."""
    return [
        Job(name="audit-chain", every_s=1, run=ca.sequencer.run_once),
        Job(name="audit-sweep", every_s=3_600, run=ca.sequencer.sweep),
        Job(name="lint-backlog", every_s=60, run=ca.lint_backlog.lint_backlog),
        Job(name="statements", every_s=60, run=lambda: _forget_statements(ca)),
    ]


def worker_jobs(ca: CertificationAuthority) -> list[Job]:
    """Of the role `worker`, which holds no key. Cards are recovered where their master key is."""
    return [*signing_jobs(ca), *keeping_jobs(ca)]


def provider_jobs(provider: Provider) -> list[Job]:
    """What the provider forgets when its time is over."""
    return [
        Job(name="interactions", every_s=60, run=provider.authorize.forget_expired),
        Job(name="codes-and-tokens", every_s=60, run=provider.tokens.forget_expired),
        Job(name="sessions", every_s=60, run=provider.sessions.forget_expired),
    ]


async def run_jobs(jobs: list[Job], watch: JobWatch) -> None:
    """Runs every job until cancelled. One that fails is logged and tried again at its next turn."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_repeat(job, watch))


async def _repeat(job: Job, watch: JobWatch) -> None:
    while True:
        started, succeeded = time.monotonic(), False
        try:
            await run_in_threadpool(job.run)
            succeeded = True
        except Exception as error:  # noqa: BLE001  (whatever it is, the other jobs go on and this one is tried again)
            log.error("job_failed", job=job.name, error=type(error).__name__, detail=getattr(error, "detail", ""))
        took_s = time.monotonic() - started
        watch.ended(job.name, took_s=took_s, succeeded=succeeded, at=system_clock())
        if took_s > _LONG_S:
            log.warning("job_took_long", job=job.name, seconds=round(took_s, 1))
        await asyncio.sleep(job.every_s)


def _forget_statements(ca: CertificationAuthority) -> int:
    """Deletes statements that nobody signed, an hour after they expired, in bounded batches."""
    store, before, deleted = StatementStore(), ca.clock() - _STATEMENTS_KEPT, 0
    while True:
        with ca.database.write() as tx:
            batch = store.delete_expired(tx, before=before)
        deleted += batch
        if batch == 0:
            return deleted
