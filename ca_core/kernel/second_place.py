"""The second place: where what must never be lost is durable before it is acknowledged (docs/adr/0010).

Whoever changes a status or issues hands over its records within its transaction, after its last statement and before
the commit. If this fails the transaction is rolled back: nothing is acknowledged that is in one place alone. Where the
commit itself fails, the second place knows of what perhaps never was, and a restore errs on the safe side.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ca_core.kernel.errors import Unavailable

Record = Mapping[str, str | int | None]
"""Flat, with a member `kind`; octets as base64, moments as microseconds since 1970."""


class SecondPlaceUnavailable(Unavailable):
    """The second place is full, away, or not the one that it should be. The act is refused; it may pass later."""

    code = "second_place_unavailable"


class SecondPlace(Protocol):
    """Where records go; `ca_core.backup.journal.Journal` is the one there is."""

    def append(self, records: Sequence[Record]) -> None:
        """Durable there, all of them in this order, when this returns. Raises: SecondPlaceUnavailable."""
        ...


class WithoutSecondPlace:
    """Keeps nothing. Dangerous: a restore from a backup then un-revokes whatever was revoked since."""

    def append(self, records: Sequence[Record]) -> None:
        """Does nothing."""


WITHOUT_SECOND_PLACE = WithoutSecondPlace()
