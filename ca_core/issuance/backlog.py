"""Linting afterwards what was issued by template: each certificate itself, once, by whichever worker comes first."""

from collections.abc import Mapping

import structlog

from ca_core.audit import AuditEvent, AuditLog, Outcome
from ca_core.issuance.errors import LintRefused
from ca_core.issuance.lint import Linter
from ca_core.issuance.model import LintBacklogReport, LintState
from ca_core.issuance.store import LintBacklog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.profiles.model import Profile

log = structlog.get_logger(__name__)
_PAGE = 50
_SHOWN_FINDINGS = 20
ACTOR = "system:worker"


class LintBacklogService:
    """What the worker calls, and what operators look at. A finding is an alarm: an audit event and an error in the log.

    The certificate stays what it is; whether it is revoked is for people to decide.
    """

    def __init__(self, database: Database, profiles: Mapping[str, Profile], audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._profiles = profiles
        self._audit = audit
        self._clock = clock
        self._backlog = LintBacklog()
        self._linter = Linter()

    def lint_backlog(self, *, limit: int = 5_000) -> LintBacklogReport:
        """Lints at most `limit` certificates, oldest first. Safe beside other workers. Raises: Unavailable."""
        linted, after = 0, 0
        findings: dict[int, tuple[str, ...]] = {}
        while linted < limit:
            with self._database.read() as tx:
                page = self._backlog.waiting(tx, after=after, limit=min(_PAGE, limit - linted))
            if not page:
                break
            after = page[-1][0]
            found = {number: self._findings(profile, der) for number, profile, der in page}
            findings.update((number, texts) for number, texts in found.items() if texts and self._record(number, texts))
            self._record_clean([number for number, texts in found.items() if not texts])
            linted += len(page)
        return LintBacklogReport(linted=linted, findings=findings)

    def state(self) -> LintState:
        """How many certificates were linted how, and how long the oldest waits."""
        with self._database.read() as tx:
            return self._backlog.state(tx)

    def _findings(self, profile: str, der: bytes) -> tuple[str, ...]:
        known = self._profiles.get(profile)
        try:
            return tuple(self._linter.findings(der, waived=() if known is None else known.waived_findings))
        except LintRefused as error:
            return (error.detail,)

    def _record(self, certificate_id: int, findings: tuple[str, ...]) -> bool:
        """True for the one worker that records them."""
        shown = "\n".join(findings[:_SHOWN_FINDINGS])
        with self._database.write() as tx:
            is_first = self._backlog.set_linted(tx, certificate_id, findings=shown, now=self._clock())
            if is_first:
                event = AuditEvent(
                    name="certificate.lint_failed",
                    actor=ACTOR,
                    outcome=Outcome.FAILED,
                    subject=f"certificate:{certificate_id}",
                    detail={"findings": shown[:2_000], "count": len(findings)},
                )
                self._audit.append(tx, event)
        if is_first:
            log.error("certificate_lint_failed", certificate_id=certificate_id, findings=findings[:_SHOWN_FINDINGS])
        return is_first

    def _record_clean(self, certificate_ids: list[int]) -> None:
        if certificate_ids:
            now = self._clock()
            with self._database.write() as tx:
                for certificate_id in certificate_ids:
                    self._backlog.set_linted(tx, certificate_id, findings=None, now=now)
