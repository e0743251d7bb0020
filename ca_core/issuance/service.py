"""Issuing certificates so that none is lost and no serial is used twice, whatever dies when.

1. The request is checked and drawn up as a certificate, which the linter reads (or whose template it has read).
2. Transaction 1 records the intent, the whole TBSCertificate under a new serial, and an audit event over it.
3. The authority's key signs exactly those octets; the certificate is assembled and verified.
4. Transaction 2 records the certificate and its audit event, and completes the intent.

Whoever dies between 2 and 4 leaves an open intent, which `recover` or a repeated request carries out. Many requests go
the same way together: one transaction 1 and one transaction 2 for a batch of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography import x509

from ca_core.audit import AuditEvent, AuditLog, EventRefused, Outcome
from ca_core.audit.model import canonical_detail
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import AuthoritySigner
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.crl_shards.model import ShardLayout
from ca_core.crl_shards.service import ShardLayouts
from ca_core.issuance.checkpoint import Checkpoint, Step, no_checkpoint
from ca_core.issuance.checks import Candidate, verify_candidate, verify_request_id
from ca_core.issuance.draft import ThrowawayKeys, draw_up, new_serial
from ca_core.issuance.errors import (
    IssuanceFault,
    IssuanceRefused,
    KeyReused,
    ProfileNotAllowed,
    RequestIdReused,
    RequestMalformed,
)
from ca_core.issuance.lint import LintedRequest, Linter
from ca_core.issuance.model import Intent, IssuanceRequest, IssuedCertificate, LintMode, RecoveryReport, StuckIntent
from ca_core.issuance.records import IssuanceRecords
from ca_core.issuance.signer import IntentSigner, Signature, SigningWork
from ca_core.issuance.template import Templates
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import ConfigurationError, Conflict, DomainError, Unavailable
from ca_core.kernel.rng import Rng
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.keys.model import PublicKey
from ca_core.keys.ports import KeyStore
from ca_core.profiles.model import Profile
from ca_core.revocation.service import RevocationService

BATCH = 128
"""How many certificates share two transactions: what one commit costs is less than a hundredth of each."""
_TRIES = 5

IssuanceOutcome = IssuedCertificate | DomainError
"""A certificate, or why there is none (yet)."""


@dataclass(slots=True)
class _Batch:
    """Requests on their way. outcomes: one for each request, None while it is open. open: its intent, by position.

    resumed: request ids of those that stood before.
    """

    outcomes: list[IssuanceOutcome | None]
    open: dict[int, Intent] = field(default_factory=dict)
    repeats: dict[int, int] = field(default_factory=dict)
    resumed: set[str] = field(default_factory=set)

    def take_up(self, position: int, intent: Intent, request: IssuanceRequest) -> None:
        """An earlier intent of the same request. Raises: RequestIdReused, where it was recorded for other content."""
        if intent.request_digest != request.digest:
            raise RequestIdReused(request.request_id)
        self.open[position] = intent
        self.resumed.add(intent.request_id)


class IssuanceService:
    """Issues certificates in the name of every authority whose key is in the key store.

    publication_url: where CRLs, CA certificates and OCSP are served, e.g. "http://pki.example.tw/pki"; it goes into
    the certificates. crl_shards: how certificates are dealt out to revocation lists; without it they name no shard.
    checkpoint: told of every step; for tests that kill the process there. second_place: where intents and certificates
    are durable before anything is acknowledged. revocation: makes what is derived from a certificate follow it; without
    it nothing is derived.
    """

    def __init__(
        self,
        *,
        database: Database,
        registry: AuthorityRegistry,
        key_store: KeyStore,
        profiles: Mapping[str, Profile],
        audit: AuditLog,
        publication_url: str,
        clock: Clock,
        rng: Rng,
        crl_shards: ShardLayouts | None = None,
        checkpoint: Checkpoint = no_checkpoint,
        second_place: SecondPlace = WITHOUT_SECOND_PLACE,
        revocation: RevocationService | None = None,
    ) -> None:
        if urlsplit(publication_url).scheme not in ("http", "https") or publication_url.endswith("/"):
            raise ConfigurationError("publication_url: an http or https URL without a slash at its end")
        self.publication_url = publication_url
        self.profiles = profiles
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._crl_shards = crl_shards
        self._checkpoint = checkpoint
        self._records = IssuanceRecords(database, audit, checkpoint, second_place, revocation)
        self._signer = IntentSigner(registry, key_store, checkpoint, self._records.record_resumption)
        self._throwaway = ThrowawayKeys()
        self._linter = Linter()
        self._templates = Templates(self._linter, self._throwaway, publication_url, clock)

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        """The recorded certificate, itself linted; the same one again for the same request_id.

        Raises: IssuanceRefused (nothing was written), AuthorityNotFound; KeyStoreError, Unavailable, IssuanceFault
        (an intent may stand, which the same request or `recover` carries out).
        """
        batch = self._begun([request], LintMode.EVERY)
        (outcome,) = self._ended(batch, self._signer.sign(list(batch.open.values()), batch.resumed))
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    def issue_many(
        self, requests: Sequence[IssuanceRequest], *, lint: LintMode = LintMode.EVERY, batch_size: int = BATCH
    ) -> list[IssuanceOutcome]:
        """For each request, in order, its certificate or why there is none; what stands is never issued twice.

        A refused request disturbs no other. While the token signs one batch, by several threads where the key is RSA,
        the next is drawn up. Raises: Unavailable, where the database is: what was recorded until then stays, and the
        same call goes on with it.
        """
        outcomes: list[IssuanceOutcome] = []
        with self._signer.line() as line:
            waiting: tuple[_Batch, SigningWork] | None = None
            for start in range(0, len(requests), batch_size):
                batch = self._begun(requests[start : start + batch_size], lint)
                work = line.begin(list(batch.open.values()), batch.resumed)
                if waiting is not None:
                    outcomes += self._ended(waiting[0], line.finish(waiting[1]))
                waiting = (batch, work)
            if waiting is not None:
                outcomes += self._ended(waiting[0], line.finish(waiting[1]))
        return outcomes

    def load_templates(self, authority: str) -> tuple[str, ...]:
        """Lints the boundary cases of every profile that an authority issues; returns the profiles' names.

        Otherwise done at a template's first use. Raises: LintRefused, IssuanceFault, AuthorityNotFound.
        """
        signer = self._registry.signer(authority)
        names = sorted(name for name in signer.profiles if not self.profiles[name].is_ca)
        for name in names:
            for algorithm in self.profiles[name].key_algorithms:
                self._templates.template(self.profiles[name], signer, algorithm, self._shards_of(signer))
        return tuple(names)

    def rehearse(self, request: IssuanceRequest, signer: AuthoritySigner) -> x509.Certificate:
        """What would be issued, checked and linted, with nothing written and signed by a throwaway key.

        signer: the authority, which need not exist yet. Raises: IssuanceRefused.
        """
        linted = self._linted(self._checked(request, signer), LintMode.EVERY)
        return x509.load_der_x509_certificate(linted.draft.preview)

    def recover(self) -> RecoveryReport:
        """Carries out every open intent; those whose key is gone are reported and stay open.

        For the start of the signer, and safe beside running issuances. Raises: Unavailable.
        """
        recovered: list[IssuedCertificate] = []
        stuck: list[StuckIntent] = []
        for page in self._records.open_intents():
            batch = _Batch(outcomes=[None] * len(page), open=dict(enumerate(page)))
            signatures = self._signer.sign(page, {intent.request_id for intent in page})
            for intent, outcome in zip(page, self._ended(batch, signatures), strict=True):
                if isinstance(outcome, Unavailable):
                    raise outcome
                if isinstance(outcome, DomainError):
                    stuck.append(_stuck(intent, outcome))
                else:
                    recovered.append(outcome)
        return RecoveryReport(recovered=tuple(recovered), stuck=tuple(stuck))

    def block_key(self, public_key: PublicKey, *, reason: str, actor: str) -> None:
        """Never certify this key (again). What was issued for it stays as it is."""
        self._records.block_key(public_key, reason=reason, actor=actor, now=self._clock())

    def _begun(self, requests: Sequence[IssuanceRequest], mode: LintMode) -> _Batch:
        """Steps 1 and 2: every request has an outcome, or an intent that is recorded."""
        batch = _Batch(outcomes=[None] * len(requests))
        first_of: dict[str, int] = {}
        known = self._records.earlier(requests)
        signers: dict[str, AuthoritySigner] = {}
        drawn: dict[int, Candidate] = {}
        for position, request in enumerate(requests):
            try:
                verify_request_id(request.request_id)
                first = first_of.setdefault(request.request_id, position)
                intent = known.get(request.request_id)
                if intent is not None:
                    batch.take_up(position, intent, request)
                elif first != position:
                    if requests[first].digest != request.digest:
                        raise RequestIdReused(request.request_id)
                    batch.repeats[position] = first
                else:
                    if request.authority not in signers:
                        signers[request.authority] = self._registry.signer(request.authority)
                    drawn[position] = self._checked(request, signers[request.authority])
            except (IssuanceRefused, AuthorityNotFound) as refused:
                batch.outcomes[position] = refused
        if drawn:
            self._checkpoint(Step.CHECKED)
            self._intend(batch, drawn, mode)
        return batch

    def _intend(self, batch: _Batch, drawn: Mapping[int, Candidate], mode: LintMode, tries: int = _TRIES) -> None:
        """Lints and records intents for candidates, by their positions; one by one where together they cannot be.

        A serial that was used before is replaced by another; a request_id by what stands under it.
        """
        linted: dict[int, LintedRequest] = {}
        for position, candidate in drawn.items():
            try:
                linted[position] = self._linted(candidate, mode, many=len(drawn) > 1)
            except (IssuanceRefused, IssuanceFault) as refused:
                batch.outcomes[position] = refused
        if not linted:
            return
        self._checkpoint(Step.LINTED)
        try:
            recorded = self._records.record_intents([(drawn[position], linted[position]) for position in linted])
        except Conflict:
            if len(linted) > 1:
                for position in linted:
                    self._intend(batch, {position: drawn[position]}, mode)
                return
            ((position, candidate),) = ((position, drawn[position]) for position in linted)
            if not self._taken_over(batch, position, candidate):
                if tries <= 1:
                    raise IssuanceFault("no unused serial was found: the random numbers repeat themselves") from None
                self._intend(batch, {position: candidate}, mode, tries - 1)
            return
        for position, outcome in zip(linted, recorded, strict=True):
            if isinstance(outcome, Intent):
                batch.open[position] = outcome
            elif not (isinstance(outcome, KeyReused) and self._taken_over(batch, position, drawn[position])):
                batch.outcomes[position] = outcome

    def _taken_over(self, batch: _Batch, position: int, candidate: Candidate) -> bool:
        """True where another recorded an intent for the same request meanwhile: theirs is carried out."""
        request = candidate.request
        intent = self._records.earlier([request]).get(request.request_id)
        if intent is None:
            return False
        try:
            batch.take_up(position, intent, request)
        except RequestIdReused as refused:
            batch.outcomes[position] = refused
        return True

    def _ended(self, batch: _Batch, signatures: Sequence[Signature]) -> list[IssuanceOutcome]:
        """Steps 3 (its end) and 4: the outcome of every request."""
        signed, positions = [], []
        for (position, intent), signature in zip(batch.open.items(), signatures, strict=True):
            if intent.completed_at is not None:
                batch.outcomes[position] = self._records.recorded(intent)
            elif isinstance(signature, DomainError):
                batch.outcomes[position] = signature
            elif signature is not None:
                try:
                    signed.append(self._signer.verified(intent, *signature))
                    positions.append(position)
                except IssuanceFault as fault:
                    batch.outcomes[position] = fault
        if signed:
            recorded = self._records.record_certificates(signed, self._clock())
            for position, issued in zip(positions, recorded, strict=True):
                batch.outcomes[position] = issued
        for position, first in batch.repeats.items():
            batch.outcomes[position] = batch.outcomes[first]
        return [
            IssuanceFault("a request without an outcome") if outcome is None else outcome for outcome in batch.outcomes
        ]

    def _checked(self, request: IssuanceRequest, signer: AuthoritySigner) -> Candidate:
        profile = self.profiles.get(request.profile)
        if profile is None:
            raise ProfileNotAllowed(f"no profile {request.profile}")
        now = self._clock()
        candidate = Candidate(
            request=request,
            profile=profile,
            signer=signer,
            now=now,
            crl_shards=self._shards_of(signer),
            origin=self._records.origin_of(request, profile, now),
        )
        verify_candidate(candidate)
        _verify_auditable(candidate)
        return candidate

    def _shards_of(self, signer: AuthoritySigner) -> ShardLayout | None:
        return None if self._crl_shards is None else self._crl_shards.current(signer.id)

    def _linted(self, candidate: Candidate, mode: LintMode, *, many: bool = False) -> LintedRequest:
        if mode is LintMode.TEMPLATE:
            return self._templates.linted(candidate, new_serial(self._rng))
        if many:
            draft = self._templates.draft(candidate, new_serial(self._rng))
            return self._linter.lint(draft, waived=candidate.profile.waived_findings)
        throwaway = self._throwaway.like(candidate.signer.public_key)
        draft = draw_up(candidate, self.publication_url, throwaway, self._rng)
        return self._linter.lint(draft, waived=candidate.profile.waived_findings)


def _stuck(intent: Intent, error: DomainError) -> StuckIntent:
    return StuckIntent(
        request_id=intent.request_id,
        authority_id=intent.authority_id,
        serial=intent.serial,
        reason=f"{error.code}: {error.detail}",
    )


def _verify_auditable(candidate: Candidate) -> None:
    """What the audit log would refuse in transaction 2 is refused here, before anything is written."""
    request = candidate.request
    try:
        canonical_detail(
            AuditEvent(
                name="certificate.issued", actor=request.actor, outcome=Outcome.OK, request_id=request.request_id
            )
        )
    except EventRefused as error:
        raise RequestMalformed(f"actor or request_id: {error.detail}") from error
