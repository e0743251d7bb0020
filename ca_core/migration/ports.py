"""What importing needs from its neighbours; `idp.main` wires them."""

from typing import Protocol

from ca_core.kernel.database import Transaction
from ca_core.registration.imported import HolderMatch


class Holders(Protocol):
    """Persons who were imported (or registered) before: `ca_core.registration.imported.HolderRegister`."""

    def match(self, tx: Transaction, subject_serial_number: str, last4: str | None) -> HolderMatch | None:
        """The person whose certificates bear that serial number in their subject, and whether the last four characters
        of the national ID are theirs; None where there is nobody."""
        ...
