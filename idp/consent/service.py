"""Asking what was allowed, and allowing."""

from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Transaction
from idp.consent.model import Consent, covers
from idp.consent.store import ConsentStore


class ConsentService:
    """Consents by person and client. Every method runs in its caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._store = ConsentStore()

    def granted(
        self, tx: Transaction, person_id: str, client_id: str, scope: tuple[str, ...], claims: tuple[str, ...]
    ) -> bool:
        """Whether this person allowed this client all of that before. scope and claims are sorted."""
        return covers(self._store.active(tx, person_id, client_id), scope, claims)

    def grant(
        self, tx: Transaction, person_id: str, client_id: str, scope: tuple[str, ...], claims: tuple[str, ...]
    ) -> None:
        """Records it, unless earlier consents cover it already."""
        if self.granted(tx, person_id, client_id, scope, claims):
            return
        given = Consent(person_id=person_id, client_id=client_id, scope=scope, claims=claims, granted_at=self._clock())
        self._store.add(tx, given)

    def withdraw(self, tx: Transaction, person_id: str, client_id: str) -> int:
        """How many acts of consent this took back."""
        return self._store.withdraw(tx, person_id, client_id, self._clock())
