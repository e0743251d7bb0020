"""What registration needs from a store of persons."""

from typing import Protocol

from ca_core.kernel.database import Transaction
from ca_core.registration.model import Person
from ca_core.registration.sealing import SealedNationalId


class Persons(Protocol):
    """Persons in a database; `store.PersonStore` is the one there is."""

    def add(self, tx: Transaction, person: Person, lookup: bytes, sealed: SealedNationalId) -> None: ...

    def find(self, tx: Transaction, person_id: str) -> Person | None: ...

    def find_by_lookup(self, tx: Transaction, lookup: bytes) -> Person | None: ...

    def sealed_national_id(self, tx: Transaction, person_id: str) -> SealedNationalId | None: ...

    def sealed_otherwise(
        self, tx: Transaction, current: str, *, after: str, at_most: int
    ) -> list[tuple[str, SealedNationalId]]: ...

    def reseal(self, tx: Transaction, person_id: str, sealed_under: str, sealed: SealedNationalId) -> bool: ...
