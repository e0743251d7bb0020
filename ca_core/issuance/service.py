"""Issuing certificates so that none is lost and no serial is used twice, whatever dies when.

1. The request is checked and drawn up as a certificate, which the linter reads.
2. Transaction 1 records the intent: the whole TBSCertificate under a new serial.
3. The authority's key signs exactly those octets; the certificate is assembled and verified.
4. Transaction 2 records the certificate and its audit event, and completes the intent.

Whoever dies between 2 and 4 leaves an open intent, which `recover` or a repeated request carries out.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from cryptography import x509

from ca_core.audit import AuditEvent, AuditLog, EventRefused, Outcome
from ca_core.audit.model import canonical_detail
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import AuthoritySigner
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.issuance.checkpoint import Checkpoint, Step, no_checkpoint
from ca_core.issuance.checks import Candidate, verify_candidate, verify_request_id
from ca_core.issuance.draft import ThrowawayKeys, draw_up
from ca_core.issuance.errors import (
    IssuanceFault,
    KeyBlocked,
    KeyReused,
    ProfileNotAllowed,
    RequestIdReused,
    RequestMalformed,
)
from ca_core.issuance.lint import LintedRequest, Linter
from ca_core.issuance.model import Intent, IssuanceRequest, IssuedCertificate, RecoveryReport, StuckIntent, serial_text
from ca_core.issuance.signing import assemble, sign_tbs, verify_certificate, verify_same_key
from ca_core.issuance.store import CertificateStore, IntentStore, KeyRegister, KeyUse
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import ConfigurationError, Conflict
from ca_core.kernel.rng import Rng
from ca_core.keys.errors import KeyStoreError
from ca_core.keys.model import PublicKey, key_digest
from ca_core.keys.ports import KeyStore
from ca_core.profiles.model import KeyReuse, Profile

_TRIES = 5
_PAGE = 100


class IssuanceService:
    """Issues certificates in the name of every authority whose key is in the key store.

    publication_url: where CRLs, CA certificates and OCSP are served, e.g. "http://pki.example.tw/pki"; it goes into
    the certificates. checkpoint: told of every step; for tests that kill the process there.
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
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        if urlsplit(publication_url).scheme not in ("http", "https") or publication_url.endswith("/"):
            raise ConfigurationError("publication_url: an http or https URL without a slash at its end")
        self.publication_url = publication_url
        self.profiles = profiles
        self._database = database
        self._registry = registry
        self._key_store = key_store
        self._audit = audit
        self._clock = clock
        self._rng = rng
        self._checkpoint = checkpoint
        self._certificates = CertificateStore()
        self._intents = IntentStore()
        self._keys = KeyRegister()
        self._throwaway = ThrowawayKeys()
        self._linter = Linter()

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        """The recorded certificate; the same one again for the same request_id.

        Raises: IssuanceRefused (nothing was written), AuthorityNotFound; KeyStoreError, Unavailable, IssuanceFault
        (an intent may stand, which the same request or `recover` carries out).
        """
        verify_request_id(request.request_id)
        intent = self._earlier(request)
        if intent is None:
            candidate = self._checked(request, self._registry.signer(request.authority))
            self._checkpoint(Step.CHECKED)
            intent = self._record_intent(candidate)
            self._checkpoint(Step.INTENT_RECORDED)
        return self._carry_out(intent)

    def rehearse(self, request: IssuanceRequest, signer: AuthoritySigner) -> x509.Certificate:
        """What would be issued, checked and linted, with nothing written and signed by a throwaway key.

        signer: the authority, which need not exist yet. Raises: IssuanceRefused.
        """
        linted = self._linted(self._checked(request, signer))
        return x509.load_der_x509_certificate(linted.draft.preview)

    def recover(self) -> RecoveryReport:
        """Carries out every open intent; those whose key is gone are reported and stay open.

        For the start of the signer, and safe beside running issuances. Raises: Unavailable.
        """
        recovered: list[IssuedCertificate] = []
        stuck: list[StuckIntent] = []
        for intent in self._open_intents():
            try:
                recovered.append(self._carry_out(intent))
            except (KeyStoreError, AuthorityNotFound, IssuanceFault) as error:
                stuck.append(
                    StuckIntent(
                        request_id=intent.request_id,
                        authority_id=intent.authority_id,
                        serial=intent.serial,
                        reason=f"{error.code}: {error.detail}",
                    )
                )
        return RecoveryReport(recovered=tuple(recovered), stuck=tuple(stuck))

    def block_key(self, public_key: PublicKey, *, reason: str, actor: str) -> None:
        """Never certify this key (again). What was issued for it stays as it is."""
        now = self._clock()
        with self._database.write() as tx:
            self._keys.block(tx, key_digest(public_key), reason=reason, actor=actor, now=now)
            self._audit.append(
                tx,
                AuditEvent(
                    name="key.blocked",
                    actor=actor,
                    outcome=Outcome.OK,
                    subject=f"key:{key_digest(public_key)}",
                    detail={"reason": reason},
                ),
            )

    def _earlier(self, request: IssuanceRequest) -> Intent | None:
        with self._database.read() as tx:
            intent = self._intents.find(tx, request.request_id)
        if intent is not None and intent.request_digest != request.digest:
            raise RequestIdReused(request.request_id)
        return intent

    def _checked(self, request: IssuanceRequest, signer: AuthoritySigner) -> Candidate:
        profile = self.profiles.get(request.profile)
        if profile is None:
            raise ProfileNotAllowed(f"no profile {request.profile}")
        candidate = Candidate(request=request, profile=profile, signer=signer, now=self._clock())
        verify_candidate(candidate)
        _verify_auditable(candidate)
        return candidate

    def _linted(self, candidate: Candidate) -> LintedRequest:
        throwaway = self._throwaway.like(candidate.signer.public_key)
        draft = draw_up(candidate, self.publication_url, throwaway, self._rng)
        return self._linter.lint(draft, waived=candidate.profile.waived_findings)

    def _record_intent(self, candidate: Candidate) -> Intent:
        """Transaction 1. A serial that was used before is replaced by another; a request_id by what stands under it."""
        for _ in range(_TRIES):
            linted = self._linted(candidate)
            self._checkpoint(Step.LINTED)
            intent = _intent(candidate, linted)
            try:
                with self._database.write() as tx:
                    self._claim_key(tx, candidate)
                    self._intents.add(tx, intent)
                    self._checkpoint(Step.INTENT_WRITTEN)
                return intent
            except (Conflict, KeyReused) as error:
                earlier = self._earlier(candidate.request)
                if earlier is not None:
                    return earlier
                if isinstance(error, KeyReused):
                    raise
        raise IssuanceFault("no unused serial was found: the random numbers repeat themselves")

    def _claim_key(self, tx: Transaction, candidate: Candidate) -> None:
        digest = key_digest(candidate.request.public_key)
        if self._keys.blocked_because(tx, digest) is not None:
            raise KeyBlocked
        use = KeyUse(candidate.profile.name, candidate.holder)
        known = self._keys.find_use(tx, digest)
        if known is None:
            self._keys.add_use(tx, digest, use, candidate.now)
        elif known != use or candidate.profile.key_reuse is not KeyReuse.SAME_HOLDER:
            raise KeyReused

    def _carry_out(self, intent: Intent) -> IssuedCertificate:
        """Signs what the intent holds and records the result; where somebody else was faster, returns theirs."""
        if intent.completed_at is not None:
            return self._recorded(intent)
        signer = self._registry.signer_by_id(intent.authority_id)
        key = self._key_store.private_key(signer.key_label)
        verify_same_key(key, signer.public_key)
        der = assemble(intent.tbs, sign_tbs(intent.tbs, key))
        self._checkpoint(Step.SIGNED)
        certificate = verify_certificate(der, tbs=intent.tbs, serial=intent.serial, public_key=signer.public_key)
        self._checkpoint(Step.VERIFIED)
        now = self._clock()
        with self._database.write() as tx:
            is_first = self._intents.complete(tx, intent.request_id, now)
            if is_first:
                certificate_id = self._certificates.add(tx, intent, certificate, der, now)
                self._checkpoint(Step.CERTIFICATE_WRITTEN)
                self._audit.append(tx, _issued_event(intent, signer.slug, certificate_id))
                self._checkpoint(Step.AUDITED)
        if not is_first:
            return self._recorded(intent)
        self._checkpoint(Step.RECORDED)
        return IssuedCertificate(
            certificate_id=certificate_id,
            authority_id=intent.authority_id,
            serial=intent.serial,
            certificate=certificate,
            profile=intent.profile,
            person_id=intent.person_id,
            card_number=intent.card_number,
        )

    def _recorded(self, intent: Intent) -> IssuedCertificate:
        with self._database.read() as tx:
            found = self._certificates.by_request(tx, intent.request_id)
        if found is None:
            raise IssuanceFault("a completed intent has no certificate")
        return found

    def _open_intents(self) -> Iterator[Intent]:
        after = ""
        while True:
            with self._database.read() as tx:
                page = self._intents.open_after(tx, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].request_id


def _intent(candidate: Candidate, linted: LintedRequest) -> Intent:
    request, draft = candidate.request, linted.draft
    return Intent(
        request_id=request.request_id,
        request_digest=request.digest,
        authority_id=candidate.signer.id,
        serial=draft.serial,
        profile=candidate.profile.name,
        tbs=draft.tbs,
        person_id=request.person_id,
        card_number=request.card_number,
        actor=request.actor,
        created_at=candidate.now,
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


def _issued_event(intent: Intent, authority: str, certificate_id: int) -> AuditEvent:
    return AuditEvent(
        name="certificate.issued",
        actor=intent.actor,
        outcome=Outcome.OK,
        subject=f"certificate:{certificate_id}",
        request_id=intent.request_id,
        detail={"authority": authority, "serial": serial_text(intent.serial), "profile": intent.profile},
    )
