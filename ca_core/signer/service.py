"""The port's operations: caller, allow-list, evidence, and only then the authority's key."""

from collections.abc import Callable, Mapping, Sequence

from cryptography import x509

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate, LintMode
from ca_core.kernel.database import Database
from ca_core.kernel.errors import DomainError
from ca_core.signer.callers import CallerRegister
from ca_core.signer.errors import CallerUnknown, EvidenceMissing, OperationNotAllowed
from ca_core.signer.evidence import Evidence, verify_evidence
from ca_core.signer.model import MAX_STUCK, Caller, CrlWanted, Grants, Operation, RecoverySummary
from ca_core.signer.ports import Authorities, Issuance, KeyHealth, Lists, Records
from ca_core.status.model import CrlRecord


class SignerService:
    """Signs for other processes what the records give reason to. Every refusal of a caller is audited."""

    def __init__(
        self,
        *,
        database: Database,
        callers: CallerRegister,
        grants: Grants,
        authorities: Authorities,
        records: Records,
        issuance: Issuance,
        lists: Lists,
        key_health: KeyHealth,
        audit: AuditLog,
        card_authority: str | None,
    ) -> None:
        self._database = database
        self._callers = callers
        self._grants = grants
        self._authorities = authorities
        self._records = records
        self._issuance = issuance
        self._lists = lists
        self._key_health = key_health
        self._audit = audit
        self._card_authority = card_authority

    def caller(
        self, unverified_certificate: x509.Certificate | None, operation: Operation, *, request_id: str = ""
    ) -> Caller:
        """Who asks, if they may ask for that. Raises: CallerUnknown, OperationNotAllowed; both are audited."""
        try:
            caller = self._callers.verify(unverified_certificate)
        except CallerUnknown as refused:
            self._record_refusal("anonymous", operation, refused, request_id)
            raise
        if operation not in self._grants[caller.role].operations:
            refusal = OperationNotAllowed(f"{operation} is not for {caller.role}")
            self._record_refusal(caller.role.actor, operation, refusal, request_id)
            raise refusal
        return caller

    def issue(self, caller: Caller, request: IssuanceRequest, *, request_id: str = "") -> IssuedCertificate:
        """As `IssuanceService.issue`, once its evidence is there. Raises also: EvidenceMissing (audited)."""
        self._verify(caller, Operation.ISSUE, request, request_id)
        return self._issuance.issue(request)

    def issue_many(
        self, caller: Caller, requests: Sequence[IssuanceRequest], lint: LintMode, *, request_id: str = ""
    ) -> list[IssuedCertificate | DomainError]:
        """As `IssuanceService.issue_many`; one without evidence is refused alone."""
        outcomes: list[IssuedCertificate | DomainError] = []
        accepted: list[IssuanceRequest] = []
        places: list[int] = []
        for place, request in enumerate(requests):
            try:
                self._verify(caller, Operation.ISSUE_MANY, request, request_id)
            except (EvidenceMissing, AuthorityNotFound) as refused:
                outcomes.append(refused)
            else:
                outcomes.append(EvidenceMissing())
                accepted.append(request)
                places.append(place)
        for place, outcome in zip(places, self._issuance.issue_many(accepted, lint=lint), strict=True):
            outcomes[place] = outcome
        return outcomes

    def publish(self, authority_slug: str, wanted: CrlWanted) -> CrlRecord:
        """As `CrlService.publish` and `publish_delta`: what a list says comes from the status log, not the caller."""
        publish: Callable[[str], CrlRecord] = (
            self._lists.publish if wanted is CrlWanted.COMPLETE else self._lists.publish_delta
        )
        return publish(authority_slug)

    def publish_due(self) -> list[CrlRecord]:
        """As `CrlService.publish_due`."""
        return self._lists.publish_due()

    def recover(self) -> RecoverySummary:
        """As `IssuanceService.recover`: what is signed are intents of this CA's own."""
        report = self._issuance.recover()
        return RecoverySummary(recovered=len(report.recovered), stuck=report.stuck[:MAX_STUCK])

    def keys(self) -> Mapping[str, str]:
        """Whether each authority's key can sign now, by slug."""
        return self._key_health()

    def _verify(self, caller: Caller, operation: Operation, request: IssuanceRequest, request_id: str) -> None:
        authority = self._authorities.by_slug(request.authority)
        with self._database.read() as tx:
            evidence = Evidence(
                caller=caller,
                request=request,
                card=None if request.card_number is None else self._records.card(tx, request.card_number),
                person=None if request.person_id is None else self._records.person(tx, request.person_id),
                orders=frozenset(self._records.orders(tx, authority.id)),
                card_authority=self._card_authority,
            )
        try:
            verify_evidence(evidence)
        except EvidenceMissing as refused:
            self._record_refusal(caller.role.actor, operation, refused, request_id, profile=request.profile)
            raise

    def _record_refusal(
        self, actor: str, operation: Operation, refused: DomainError, request_id: str, **detail: str
    ) -> None:
        event = AuditEvent(
            name="signer.refused",
            actor=actor,
            outcome=Outcome.REFUSED,
            request_id=request_id,
            detail={"operation": operation.value, "code": refused.code, "reason": refused.detail, **detail},
        )
        with self._database.write() as tx:
            self._audit.append(tx, event)
