"""The two transactions of an issuance, for one certificate or many: intents before the signatures, results after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509

from ca_core.audit import AuditEvent, AuditLog, Outcome
from ca_core.crl_shards.model import shard_named_by
from ca_core.issuance.checkpoint import Checkpoint, Step
from ca_core.issuance.checks import Candidate
from ca_core.issuance.errors import IssuanceFault, IssuanceRefused, KeyBlocked, KeyReused, OriginRefused
from ca_core.issuance.lint import LintedRequest
from ca_core.issuance.model import Intent, IssuanceRequest, IssuedCertificate, serial_text
from ca_core.issuance.origins import Origins
from ca_core.issuance.second_place import blocked_key_record, certificate_record, intent_record
from ca_core.issuance.store import CertificateStore, IntentStore, KeyRegister, KeyUse
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.second_place import Record, SecondPlace
from ca_core.keys.model import PublicKey, key_digest
from ca_core.profiles.model import KeyReuse, Profile
from ca_core.revocation.service import RevocationService

_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIntent:
    """An intent with its verified certificate, not recorded yet. authority: slug."""

    intent: Intent
    authority: str
    certificate: x509.Certificate
    der: bytes


class IssuanceRecords:
    """What the database holds of issuances. Holds nothing itself."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        checkpoint: Checkpoint,
        second_place: SecondPlace,
        revocation: RevocationService | None,
    ) -> None:
        """revocation: without it nothing is recorded that is derived from another certificate."""
        self._second_place = second_place
        self._revocation = revocation
        self._origins = Origins(database)
        self._database = database
        self._audit = audit
        self._checkpoint = checkpoint
        self._certificates = CertificateStore()
        self._intents = IntentStore()
        self._keys = KeyRegister()

    def earlier(self, requests: Sequence[IssuanceRequest]) -> dict[str, Intent]:
        """The intents that stand under the request ids, whatever their content."""
        with self._database.read() as tx:
            found = [self._intents.find(tx, request.request_id) for request in requests]
        return {intent.request_id: intent for intent in found if intent is not None}

    def origin_of(self, request: IssuanceRequest, profile: Profile, now: datetime) -> IssuedCertificate | None:
        """The certificate that the request's is derived from. Raises: OriginRefused."""
        if request.derived_from is not None and self._revocation is None:
            raise OriginRefused("nothing is derived here")
        return self._origins.find(request, profile, now)

    def open_intents(self) -> Iterator[list[Intent]]:
        """Intents without a certificate, a page at a time, by request id."""
        after = ""
        while True:
            with self._database.read() as tx:
                page = self._intents.open_after(tx, after, _PAGE)
            if page:
                yield page
            if len(page) < _PAGE:
                return
            after = page[-1].request_id

    def record_intents(self, drawn: Sequence[tuple[Candidate, LintedRequest]]) -> list[Intent | IssuanceRefused]:
        """Transaction 1, for all of them: keys are claimed and intents written, but for those whose key is refused.

        With them goes the audit event that commits to the octets that are to be signed. Raises: Conflict, where a
        serial, a request id or a key was taken meanwhile; AuditUnavailable: nothing was written, and nothing is signed.
        """
        outcomes: list[Intent | IssuanceRefused] = []
        with self._database.write() as tx:
            claimed: dict[str, KeyUse] = {}
            for candidate, linted in drawn:
                try:
                    if candidate.origin is not None:
                        self._origins.verify(tx, candidate.origin, candidate.now)
                    self._claim_key(tx, candidate, claimed)
                except IssuanceRefused as refused:
                    outcomes.append(refused)
                else:
                    outcomes.append(_intent(candidate, linted))
            if claimed:
                self._keys.add_uses(tx, claimed, drawn[0][0].now)
            written = [outcome for outcome in outcomes if isinstance(outcome, Intent)]
            if written:
                self._intents.add_all(tx, written)
                self._tell(tx, "issuance.intended", written)
                self._checkpoint(Step.INTENT_WRITTEN)
                self._second_place.append(
                    [
                        intent_record(
                            outcome,
                            key_digest=candidate.key_digest,
                            holder=candidate.holder,
                            origin=candidate.origin,
                        )
                        for (candidate, _), outcome in zip(drawn, outcomes, strict=True)
                        if isinstance(outcome, Intent)
                    ]
                )
        if written:
            self._checkpoint(Step.INTENT_RECORDED)
        return outcomes

    def record_resumption(self, open_intents: Sequence[Intent]) -> None:
        """The audit event of intents that stood before and are to be signed now. Raises: AuditUnavailable."""
        with self._database.write() as tx:
            self._tell(tx, "issuance.resumed", open_intents)

    def record_certificates(self, signed: Sequence[SignedIntent], now: datetime) -> list[IssuedCertificate]:
        """Transaction 2, for all of them: certificate, audit event, end of the intent.

        Where another was faster with an intent, theirs is returned. What was derived from a certificate that was
        revoked or suspended meanwhile is recorded so: its signature exists.
        """
        issued: list[IssuedCertificate | None] = []
        records: list[Record] = []
        with self._database.write() as tx:
            if any(one.intent.derived_from is not None for one in signed):
                self._statuses().hold(tx)
            wanted = sorted(one.intent.request_id for one in signed)  # one order for all: none waits in a circle
            completed = {request_id for request_id in wanted if self._intents.complete(tx, request_id, now)}
            for one in signed:
                if one.intent.request_id not in completed:
                    issued.append(None)
                    continue
                certificate_id = self._certificates.add(tx, one.intent, one.certificate, one.der, now)
                self._checkpoint(Step.CERTIFICATE_WRITTEN)
                self._audit.append(tx, _issued_event(one, certificate_id))
                self._checkpoint(Step.AUDITED)
                recorded = _issued(one, certificate_id)
                issued.append(recorded)
                records.append(
                    certificate_record(one.intent, certificate_id=certificate_id, der=one.der, issued_at=now)
                )
                if one.intent.derived_from is not None:
                    records += self._statuses().inherit(
                        tx,
                        one.intent.derived_from,
                        recorded,
                        actor=one.intent.actor,
                        request_id=one.intent.request_id,
                    )
            self._second_place.append(records)
        self._checkpoint(Step.RECORDED)
        return [
            self.recorded(one.intent) if found is None else found for one, found in zip(signed, issued, strict=True)
        ]

    def recorded(self, intent: Intent) -> IssuedCertificate:
        """The certificate of a completed intent. Raises: IssuanceFault, where there is none."""
        with self._database.read() as tx:
            found = self._certificates.by_request(tx, intent.request_id)
        if found is None:
            raise IssuanceFault("a completed intent has no certificate")
        return found

    def block_key(self, public_key: PublicKey, *, reason: str, actor: str, now: datetime) -> None:
        """Never certify this key (again). Durable in the second place before it is committed."""
        digest = key_digest(public_key)
        event = AuditEvent(
            name="key.blocked", actor=actor, outcome=Outcome.OK, subject=f"key:{digest}", detail={"reason": reason}
        )
        with self._database.write() as tx:
            self._keys.block(tx, digest, reason=reason, actor=actor, now=now)
            self._audit.append(tx, event)
            self._second_place.append([blocked_key_record(digest, reason=reason, actor=actor, now=now)])

    def _statuses(self) -> RevocationService:
        if self._revocation is None:
            raise IssuanceFault("an intent of a derived certificate, and nobody to make it follow its origin")
        return self._revocation

    def _tell(self, tx: Transaction, name: str, several: Sequence[Intent]) -> None:
        """One event for each actor and authority: how many, and SHA-256 over the SHA-256 of each TBSCertificate."""
        groups: dict[tuple[str, int], list[Intent]] = {}
        for intent in several:
            groups.setdefault((intent.actor, intent.authority_id), []).append(intent)
        for (actor, authority_id), group in groups.items():
            digest = sha256(b"".join(sha256(intent.tbs).digest() for intent in group)).hexdigest()
            event = AuditEvent(
                name=name,
                actor=actor,
                outcome=Outcome.OK,
                subject=f"authority:{authority_id}",
                request_id=group[0].request_id if len(group) == 1 else "",
                detail={"count": len(group), "tbs_sha256": digest},
            )
            self._audit.append(tx, event)

    def _claim_key(self, tx: Transaction, candidate: Candidate, claimed: dict[str, KeyUse]) -> None:
        digest = candidate.key_digest
        known = self._keys.state_of(tx, digest)
        if known.is_blocked:
            raise KeyBlocked
        if candidate.profile.key_reuse is KeyReuse.AUTHORITY:
            return
        use, earlier = KeyUse(candidate.profile.name, candidate.holder), known.use or claimed.get(digest)
        if earlier is None:
            claimed[digest] = use
        elif earlier != use or candidate.profile.key_reuse is not KeyReuse.SAME_HOLDER:
            raise KeyReused


def _intent(candidate: Candidate, linted: LintedRequest) -> Intent:
    request, draft = candidate.request, linted.draft
    return Intent(
        request_id=request.request_id,
        request_digest=candidate.digest,
        authority_id=candidate.signer.id,
        serial=draft.serial,
        profile=candidate.profile.name,
        tbs=draft.tbs,
        person_id=request.person_id,
        card_number=request.card_number,
        actor=request.actor,
        created_at=candidate.now,
        lint=linted.mode,
        derived_from=request.derived_from,
    )


def _issued_event(one: SignedIntent, certificate_id: int) -> AuditEvent:
    intent = one.intent
    return AuditEvent(
        name="certificate.issued",
        actor=intent.actor,
        outcome=Outcome.OK,
        subject=f"certificate:{certificate_id}",
        request_id=intent.request_id,
        detail={
            "authority": one.authority,
            "serial": serial_text(intent.serial),
            "profile": intent.profile,
            "lint": intent.lint.value,
        },
    )


def _issued(one: SignedIntent, certificate_id: int) -> IssuedCertificate:
    intent = one.intent
    return IssuedCertificate(
        certificate_id=certificate_id,
        authority_id=intent.authority_id,
        serial=intent.serial,
        certificate=one.certificate,
        profile=intent.profile,
        person_id=intent.person_id,
        card_number=intent.card_number,
        crl_shard=shard_named_by(one.certificate),
        lint=intent.lint,
        derived_from=intent.derived_from,
    )
