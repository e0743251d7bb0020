"""What is derived from a certificate, asked for and looked up."""

from ca_core.issuance import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.revocation import Change, RevocationReason, StatusLog
from ca_core.revocation.model import CrlScope
from support.fakes import START
from support.pki import citizen_request

ACTOR = "operator:1"
HOLD = RevocationReason.CERTIFICATE_HOLD
LOG = StatusLog()


class Died(BaseException):
    """The process ends there."""


def derived_request(
    origin: IssuedCertificate | int, number: int = 1, profile: str = "passkey", **others: object
) -> IssuanceRequest:
    origin_id = origin if isinstance(origin, int) else origin.certificate_id
    return citizen_request(f"derived-{number}", profile=profile, derived_from=origin_id, **others)  # type: ignore[arg-type]  # passed through


def history(database: Database, issued: IssuedCertificate) -> list[tuple[Change, RevocationReason, bool]]:
    with database.read() as tx:
        return [(one.change, one.reason, one.by_origin) for one in LOG.history(tx, issued.certificate_id)]


def scope(authority_id: int, through: int) -> CrlScope:
    return CrlScope(authority_id=authority_id, through=through, previous_at=START, previous_through=0)
