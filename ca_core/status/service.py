"""A certificate's status, for whoever must know it now."""

from ca_core.kernel.database import Transaction
from ca_core.revocation.log import StatusLog
from ca_core.status.model import CertificateStatus, status_after


class StatusService:
    """Answers from the database alone; nothing is cached, so an acknowledged change is seen at once."""

    def __init__(self, log: StatusLog) -> None:
        self._log = log

    def status_of(self, tx: Transaction, certificate_id: int) -> CertificateStatus:
        """By one indexed statement. A certificate without any change is good; whether it exists is not asked here."""
        return status_after(self._log.latest(tx, certificate_id))

    def status_and_change(self, tx: Transaction, certificate_id: int) -> tuple[CertificateStatus, int]:
        """The status, and the place in the log of the change that made it, 0 where there was none.

        Whatever is said of the status is right for exactly as long as that place stays the same.
        """
        latest = self._log.latest(tx, certificate_id)
        return status_after(latest), 0 if latest is None else latest.sequence
