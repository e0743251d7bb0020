"""What sessions need from the certification authority."""

from typing import Protocol

from ca_core.kernel.database import Transaction


class SessionCertificates(Protocol):
    """Whether the certificate behind a login is good now: answered from the database of the given transaction."""

    def is_good(self, tx: Transaction, certificate_id: int, latest_change: str) -> bool:
        """False where it is revoked, suspended, expired or unknown.

        latest_change: the certificate's, as the caller read it from the status log just now; empty for none.
        """
        ...
