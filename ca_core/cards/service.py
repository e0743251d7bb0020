"""Making a card: number, keys, certificates, read back, recorded.

A personalisation that ends half way leaves no usable card: the attempt is marked as failed and whatever was issued for
it is revoked (cessationOfOperation). The plastic, if it is not spoilt for good, is personalised anew under another
number. What a killed process left behind, `recover` finds.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.cards.card_number import new_card_number
from ca_core.cards.certification import CardCertification
from ca_core.cards.errors import (
    CardNotFound,
    CardStateRefused,
    OrderRefused,
    PersonalisationOvertaken,
    ReadBackMismatch,
)
from ca_core.cards.management_key import ManagementKeys
from ca_core.cards.model import (
    DEFAULT_ALGORITHMS,
    OFFERED,
    Card,
    CardSlot,
    CardState,
    verify_codes,
    verify_may_follow,
)
from ca_core.cards.ports import Cards, CardStation, Persons
from ca_core.cards.requests import verify_requests
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict, DomainError
from ca_core.kernel.rng import Rng
from ca_core.keys.model import KeyAlgorithm
from ca_core.registration.model import Person

GRACE_S: Final = 3_600
"""How long a personalisation may take before `recover` takes its process for dead."""
_TRIES: Final = 5
_BATCH: Final = 100


class CardService:
    """Cards: made here, found by number."""

    def __init__(
        self,
        *,
        database: Database,
        cards: Cards,
        persons: Persons,
        certification: CardCertification,
        management_keys: ManagementKeys,
        audit: AuditLog,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._database = database
        self._cards = cards
        self._persons = persons
        self._certification = certification
        self._management_keys = management_keys
        self._audit = audit
        self._clock = clock
        self._rng = rng

    def personalise(
        self,
        person_id: str,
        station: CardStation,
        *,
        pin: str,
        puk: str,
        actor: str,
        algorithms: Mapping[CardSlot, KeyAlgorithm] = DEFAULT_ALGORITHMS,
    ) -> Card:
        """The card in the station, made the person's: three keys, three certificates, in state `issued`.

        pin, puk: initial codes, chosen at random by the caller and told to the citizen; they are not kept here.
        Raises: OrderRefused (nothing was done); PersonalisationFailed and whatever issuance raises (the attempt is
        recorded as failed, its certificates are revoked, or will be by `recover` if the database is away).
        """
        verify_codes(pin, puk)
        if algorithms.keys() != set(CardSlot) or not OFFERED.issuperset(algorithms.values()):
            raise OrderRefused("algorithms")
        person = self._persons.find(person_id)
        if person is None:
            raise OrderRefused(f"person {person_id}")
        last4 = self._persons.national_id(person_id)[-4:]
        card = self._begin(person, actor)
        try:
            unverified = station.generate(
                card.card_number,
                algorithms,
                pin=pin,
                puk=puk,
                management_key=self._management_keys.of(card.card_number),
            )
            requests = verify_requests(unverified, algorithms)
            issued = {
                slot: self._certification.issue(
                    card.card_number, slot, request, person=person, national_id_last4=last4, actor=actor
                )
                for slot, request in requests.items()
            }
            certificates = {slot: one.certificate for slot, one in issued.items()}
            _verify_read_back(certificates, station.write(certificates))
            return self._finish(card, issued, actor)
        except BaseException as error:
            self._give_up(card, actor, error)
            raise

    def find(self, card_number: str) -> Card | None:
        """The card with that number, whatever its state."""
        with self._database.read() as tx:
            return self._cards.find(tx, card_number)

    def of_person(self, person_id: str) -> list[Card]:
        """The person's cards and attempts, oldest first."""
        with self._database.read() as tx:
            return self._cards.by_person(tx, person_id)

    def activate(self, card_number: str, actor: str) -> Card:
        """The card, in the citizen's hands with a PIN of their own. Raises: CardNotFound, CardStateRefused."""
        event = AuditEvent(name="card.activated", actor=actor, outcome=Outcome.OK, subject=f"card:{card_number}")
        with self._database.write() as tx:
            card = self._cards.find(tx, card_number)
            if card is None:
                raise CardNotFound
            verify_may_follow(card.state, CardState.ACTIVE)
            if not self._cards.change(tx, card_number, card.state, CardState.ACTIVE, self._clock()):
                raise CardStateRefused("changed meanwhile")
            self._audit.append(tx, event)
        return self._present(card_number)

    def recover(self, actor: str) -> int:
        """Ends what killed processes left: fails the attempts of an hour ago and more, revokes their certificates.

        For the start and for the worker, after `IssuanceService.recover`. Says how many it settled; an attempt with an
        issuance still open stays for the next time.
        """
        before = self._clock() - timedelta(seconds=GRACE_S)
        with self._database.read() as tx:
            left = list(self._cards.unsettled(tx, before=before, at_most=_BATCH))
        return sum(self._abandon(card, actor, "process_ended") for card in left)

    def _begin(self, person: Person, actor: str) -> Card:
        for _ in range(_TRIES):
            card = Card(
                card_number=new_card_number(self._rng),
                person_id=person.id,
                state=CardState.PERSONALISING,
                started_at=self._clock(),
            )
            event = AuditEvent(
                name="card.personalisation_started",
                actor=actor,
                outcome=Outcome.OK,
                subject=f"card:{card.card_number}",
                detail={"person": person.id},
            )
            try:
                with self._database.write() as tx:
                    self._cards.add(tx, card)
                    self._audit.append(tx, event)
            except Conflict:
                continue
            return card
        raise Conflict("no free card number")

    def _finish(self, card: Card, issued: Mapping[CardSlot, IssuedCertificate], actor: str) -> Card:
        event = AuditEvent(
            name="card.issued",
            actor=actor,
            outcome=Outcome.OK,
            subject=f"card:{card.card_number}",
            detail={slot.value: one.certificate_id for slot, one in issued.items()},
        )
        with self._database.write() as tx:
            if not self._cards.change(tx, card.card_number, CardState.PERSONALISING, CardState.ISSUED, self._clock()):
                raise PersonalisationOvertaken
            self._audit.append(tx, event)
        return self._present(card.card_number)

    def _give_up(self, card: Card, actor: str, error: BaseException) -> None:
        """Abandons the card without hiding why. Where the database is away too, `recover` does it later."""
        try:
            self._abandon(card, actor, error.code if isinstance(error, DomainError) else type(error).__name__)
        except DomainError as second:
            error.add_note(f"card {card.card_number} is left to recover(): {second.code}")

    def _abandon(self, card: Card, actor: str, reason: str) -> bool:
        """Fails the attempt, then revokes what was issued for it. True where nothing more can come of it."""
        event = AuditEvent(
            name="card.personalisation_failed",
            actor=actor,
            outcome=Outcome.FAILED,
            subject=f"card:{card.card_number}",
            detail={"reason": reason},
        )
        with self._database.write() as tx:
            if self._cards.change(tx, card.card_number, CardState.PERSONALISING, CardState.FAILED, self._clock()):
                self._audit.append(tx, event)
            present = self._cards.find(tx, card.card_number)
        if present is None or present.state is not CardState.FAILED:
            return False  # it was issued after all, and only the news of it was lost
        if not self._certification.revoke_all(card.card_number, actor):
            return False
        with self._database.write() as tx:
            self._cards.settle(tx, card.card_number, self._clock())
        return True

    def _present(self, card_number: str) -> Card:
        card = self.find(card_number)
        if card is None:
            raise CardNotFound
        return card


def _verify_read_back(
    written: Mapping[CardSlot, x509.Certificate], read_back: Mapping[CardSlot, x509.Certificate]
) -> None:
    if read_back.keys() != written.keys():
        raise ReadBackMismatch("not one certificate for each key")
    for slot, certificate in written.items():
        if read_back[slot].public_bytes(Encoding.DER) != certificate.public_bytes(Encoding.DER):
            raise ReadBackMismatch(slot.value)
