"""A card's certificates: asked for, and taken back."""

from ca_core.cards.model import PROFILES, CardSlot, certificate_request_id
from ca_core.cards.ports import Certificates, Intents, Issuance, Revocation
from ca_core.cards.requests import VerifiedRequest
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Database, Transaction
from ca_core.registration.model import Person
from ca_core.revocation.errors import AlreadyRevoked
from ca_core.revocation.model import RevocationReason


class CardCertification:
    """The certification authority, as a card sees it. authority: the slug of the issuing CA for new cards."""

    def __init__(
        self,
        *,
        database: Database,
        issuance: Issuance,
        revocation: Revocation,
        certificates: Certificates,
        intents: Intents,
        authority: str,
    ) -> None:
        self._database = database
        self._issuance = issuance
        self._revocation = revocation
        self._certificates = certificates
        self._intents = intents
        self._authority = authority

    def issue(
        self,
        card_number: str,
        slot: CardSlot,
        verified: VerifiedRequest,
        *,
        person: Person,
        national_id_last4: str,
        actor: str,
    ) -> IssuedCertificate:
        """The slot's one certificate; the same one when asked again. Raises as IssuanceService.issue."""
        return self._issuance.issue(
            IssuanceRequest(
                request_id=certificate_request_id(card_number, slot),
                profile=PROFILES[slot],
                authority=self._authority,
                public_key=verified.public_key,
                subject_serial_number=person.subject_serial_number,
                common_name=person.name,
                national_id_last4=national_id_last4,
                person_id=person.id,
                card_number=card_number,
                actor=actor,
                csr=verified.csr,
            )
        )

    def revoke_all(self, card_number: str, actor: str) -> bool:
        """Revokes what was issued for a card that never came to be. True where nothing more can come.

        False while an issuance is still open: the signer will carry it out, and then this must be called again.
        """
        with self._database.read() as tx:
            # Intents first: one that is not open now has its certificate recorded, so the second look finds it.
            is_settled = not any(self._is_open(tx, certificate_request_id(card_number, slot)) for slot in CardSlot)
            issued = self._certificates.by_card(tx, card_number)
        for one in issued:
            try:
                self._revocation.revoke(one.authority_id, one.serial, RevocationReason.CESSATION_OF_OPERATION, actor)
            except AlreadyRevoked:
                continue
        return is_settled

    def _is_open(self, tx: Transaction, request_id: str) -> bool:
        intent = self._intents.find(tx, request_id)
        return intent is not None and intent.completed_at is None
