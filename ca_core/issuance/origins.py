"""The certificate that another is derived from."""

from datetime import datetime

from ca_core.issuance.errors import OriginRefused
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.issuance.store import CertificateStore
from ca_core.kernel.database import Database, Transaction
from ca_core.profiles.model import Profile
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import Change

MAX_DERIVED = 256
"""So many certificates are derived from one at most, whatever became of them: what follows it in one transaction."""


class Origins:
    """Looks it up, before anything is drawn up and again where the intent is recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._certificates = CertificateStore()
        self._log = StatusLog()

    def find(self, request: IssuanceRequest, profile: Profile, now: datetime) -> IssuedCertificate | None:
        """The one that the request names, None where it names none. Raises: OriginRefused."""
        if request.derived_from is None:
            return None
        with self._database.read() as tx:
            origin = self._certificates.by_id(tx, request.derived_from)
            if origin is None or origin.person_id is None or origin.person_id != request.person_id:
                raise OriginRefused("not there, or another person's")
            if origin.profile not in profile.derived_from or origin.derived_from is not None:
                raise OriginRefused(f"{profile.name} is not derived from {origin.profile}")
            self.verify(tx, origin, now)
        return origin

    def verify(self, tx: Transaction, origin: IssuedCertificate, now: datetime) -> None:
        """Accepts one that is valid, good, and of which not too much is derived. Raises: OriginRefused."""
        certificate = origin.certificate
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise OriginRefused("not valid now")
        latest = self._log.latest(tx, origin.certificate_id)
        if latest is not None and latest.change is not Change.RESUME:
            raise OriginRefused("revoked or suspended")
        if self._certificates.count_derived(tx, origin.certificate_id) >= MAX_DERIVED:
            raise OriginRefused("too much is derived from it")
