"""Login with an IC card: a challenge out, a token in, a session."""

from collections.abc import Mapping, Sequence

from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.statement import Flow, SignedStatement, StatementIssuer, StatementStore, challenge_nonce_of
from ca_core.validation.errors import CertificateRefused
from idp.authn.card import events
from idp.authn.card.errors import (
    CardLoginRefused,
    ChallengeAlreadyUsed,
    ChallengeExpired,
    ChallengeMissing,
    ChallengeSuperseded,
    PersonUnknown,
    ReportRefused,
    StatementNotFound,
    TokenBindingMismatch,
)
from idp.authn.card.model import AMR, MAX_TRIES, METHOD, REPORTED_CODES, CardLogin
from idp.authn.card.ports import Interactions, LoginCertificate, LoginCertificates, Persons, Sessions
from idp.authn.card.web_eid import UnverifiedToken, parse_token, verify_signature
from idp.authn.entry import Entry
from idp.authn.model import Authentication
from idp.authn.ports import Clients
from idp.authorize.errors import InteractionMovedOn, InteractionNotFound
from idp.authorize.model import Interaction, InteractionState


class CardLoginService:
    """Card logins of one provider.

    origin: of the login pages, as a browser serialises it; the signature must be over it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        origin: str,
        issuer: StatementIssuer,
        certificates: LoginCertificates,
        persons: Persons,
        sessions: Sessions,
        interactions: Interactions,
        clients: Clients,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._clock = clock
        self._origin = origin
        self._issuer = issuer
        self._statements = StatementStore()
        self._certificates = certificates
        self._persons = persons
        self._sessions = sessions
        self._interactions = interactions
        self._clients = clients
        self._audit = audit

    def challenge(self, entry: Entry) -> SignedStatement:
        """A new statement for this interaction's login; any earlier one of the interaction is worth nothing now.

        Raises: InteractionError.
        """
        interaction = self._started(entry)
        client = self._clients.find(interaction.request.client_id)
        if client is None:
            raise InteractionNotFound("its client is gone")
        signed = self._issuer.issue(
            flow=Flow.CARD,
            origin=self._origin,
            client_id=client.client_id,
            client_name=client.name,
            purpose=client.purpose,
            acr=interaction.request.acr,
            claims=interaction.request.released_claims,
        )
        with self._database.write() as tx:
            self._statements.record(tx, signed, interaction.key)
        return signed

    def authenticate(
        self,
        entry: Entry,
        auth_token: Mapping[str, object],
        *,
        replaces: str | None = None,
        request_id: str = "",
    ) -> CardLogin:
        """The login that an untrusted Web eID token proves. One transaction, whatever comes out of it.

        A refusal spends the challenge and writes one audit event, and nothing else. replaces: the session cookie's
        value until now. Raises: CardLoginRefused, CertificateRefused, InteractionError.
        """
        # 0. The interaction is live, waits for a login, and belongs to this browser.
        interaction = self._started(entry)
        refusal: Exception | None = None
        with self._database.write() as tx:
            # 1. The current challenge is taken out at first use, before anything else can fail.
            digests = self._statements.earlier_digests(tx, interaction.key)
            redeemed = self._redeem(tx, interaction, digests)
            try:
                # 2. There was one to take: asked for, in time, unused.
                digest = redeemed or self._refuse_challenge(tx, digests)
                # 3. The token is well-formed.
                token = parse_token(auth_token)
                # 4. Its certificate is ours: path, profile, validity, status.
                certificate = self._certificates.verify_for_login(tx, token.unverified_certificate)
                # 5. The certificate's key signed this origin and this challenge.
                self._verify_binding(tx, token, certificate.public_key, digest, digests)
                # 6. Somebody is registered for it.
                if self._persons.find(tx, certificate.person_id) is None:
                    raise PersonUnknown(f"certificate:{certificate.certificate_id}")
            except (CardLoginRefused, CertificateRefused) as error:
                refusal = error
                self._audit.append(tx, events.refused(interaction, error.code, request_id))
            except Exception as error:  # noqa: BLE001 - the challenge stays spent where a check breaks; raised below
                refusal = error
            else:
                # 7. Session, evidence and audit event together.
                return self._accept(tx, interaction, token, certificate, digest, replaces, request_id)
        raise refusal

    def reported(
        self, entry: Entry, code: object, tries_left: object = None, *, request_id: str = ""
    ) -> tuple[str, int | None]:
        """The code and tries left, once recorded as what the browser said the bridge said. Both untrusted.

        Raises: ReportRefused, where no bridge says such a thing; InteractionError.
        """
        interaction = self._started(entry)
        if not isinstance(code, str) or code not in REPORTED_CODES:
            raise ReportRefused("code")
        if tries_left is not None and (type(tries_left) is not int or not 0 <= tries_left <= MAX_TRIES):
            raise ReportRefused("tries_left")
        tries = tries_left if isinstance(tries_left, int) else None
        with self._database.write() as tx:
            self._audit.append(tx, events.reported(interaction, code, tries, request_id))
        return code, tries

    def statement(self, digest: bytes) -> str:
        """The compact statement of this digest while it is valid, for a bridge that was given only the nonce.

        Raises: StatementNotFound.
        """
        with self._database.read() as tx:
            compact = self._statements.compact_by_digest(tx, digest, self._clock())
        if compact is None:
            raise StatementNotFound
        return compact

    def _started(self, entry: Entry) -> Interaction:
        interaction = self._interactions.interaction(entry.interaction_id, entry.browser_token)
        if interaction.state is not InteractionState.STARTED:
            raise InteractionMovedOn
        return interaction

    def _redeem(self, tx: Transaction, interaction: Interaction, digests: Sequence[bytes]) -> bytes | None:
        if not digests:
            return None
        is_ours = self._statements.spend(tx, digests[0], interaction.key, self._clock())
        return digests[0] if is_ours else None

    def _refuse_challenge(self, tx: Transaction, digests: Sequence[bytes]) -> bytes:
        if not digests:
            raise ChallengeMissing
        is_unexpired = self._statements.compact_by_digest(tx, digests[0], self._clock()) is not None
        if is_unexpired or self._statements.evidence(tx, digests[0]) is not None:
            raise ChallengeAlreadyUsed
        raise ChallengeExpired

    def _verify_binding(
        self, tx: Transaction, token: UnverifiedToken, public_key: object, digest: bytes, digests: Sequence[bytes]
    ) -> None:
        """Accept iff the signature is over this challenge; over an earlier one of the interaction, say so."""
        try:
            verify_signature(token, public_key, origin=self._origin, challenge_nonce=challenge_nonce_of(digest))
        except TokenBindingMismatch:
            for earlier in digests[1:]:
                try:
                    verify_signature(
                        token, public_key, origin=self._origin, challenge_nonce=challenge_nonce_of(earlier)
                    )
                except TokenBindingMismatch:
                    continue
                is_used = self._statements.evidence(tx, earlier) is not None
                raise (ChallengeAlreadyUsed if is_used else ChallengeSuperseded) from None
            raise

    def _accept(
        self,
        tx: Transaction,
        interaction: Interaction,
        token: UnverifiedToken,
        certificate: LoginCertificate,
        digest: bytes,
        replaces: str | None,
        request_id: str,
    ) -> CardLogin:
        now = self._clock()
        authentication = Authentication(
            person_id=certificate.person_id,
            acr=interaction.request.acr,
            amr=AMR,
            auth_time=now,
            certificate_id=certificate.certificate_id,
            method=METHOD,
            statement_digest=digest,
            status_source=certificate.status_source,
            status_age_s=certificate.status_age_s,
            not_after=certificate.not_after,
        )
        session, session_token = self._sessions.start(tx, authentication, replaces=replaces)
        self._statements.record_evidence(
            tx,
            digest,
            signature=token.signature,
            algorithm=token.algorithm.value,
            certificate_id=certificate.certificate_id,
            person_id=certificate.person_id,
            now=now,
        )
        self._audit.append(tx, events.accepted(interaction, certificate, token.algorithm, request_id))
        onward = self._interactions.authenticated_in(tx, interaction, session, request_id=request_id)
        return CardLogin(session=session, session_token=session_token, next=onward)
