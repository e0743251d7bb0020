"""What the authorization endpoint needs from the feature whose pages stand on it."""

from typing import Protocol

from ca_core.kernel.database import Transaction


class Consents(Protocol):
    """What persons allowed (`idp.consent`). scope and claims are sorted."""

    def granted(
        self, tx: Transaction, person_id: str, client_id: str, scope: tuple[str, ...], claims: tuple[str, ...]
    ) -> bool:
        """Whether this person allowed this client all of that before."""
        ...

    def grant(
        self, tx: Transaction, person_id: str, client_id: str, scope: tuple[str, ...], claims: tuple[str, ...]
    ) -> None:
        """Records that the person allows it."""
        ...
