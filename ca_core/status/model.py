"""What a certificate's status is, and what is said about it. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from ca_core.authorities.model import Authority
from ca_core.kernel.clock import TAIPEI
from ca_core.keys.model import PrivateKey
from ca_core.revocation.model import Change, CrlScope, RevocationReason, StatusChange


class CertificateState(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """A certificate's status now. `reason` and `since` are None for a certificate that was always good."""

    state: CertificateState
    reason: RevocationReason | None = None
    since: datetime | None = None

    @property
    def is_good(self) -> bool:
        return self.state is CertificateState.GOOD


ALWAYS_GOOD = CertificateStatus(state=CertificateState.GOOD)
_STATES = {
    Change.REVOKE: CertificateState.REVOKED,
    Change.SUSPEND: CertificateState.SUSPENDED,
    Change.RESUME: CertificateState.GOOD,
}


def status_after(latest: StatusChange | None) -> CertificateStatus:
    """The status that a certificate's latest change leaves it in."""
    if latest is None:
        return ALWAYS_GOOD
    reason = None if latest.change is Change.RESUME else latest.reason
    return CertificateStatus(state=_STATES[latest.change], reason=reason, since=latest.at)


def is_good_after(latest_change: str | None) -> bool:
    """`status_after(...).is_good`, from the name of the change alone."""
    return not latest_change or _STATES[Change(latest_change)] is CertificateState.GOOD


class CrlKind(StrEnum):
    COMPLETE = "complete"
    DELTA = "delta"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlRecord:
    """A CRL's row. through: the last change in the status log that it knows of. size_bytes: of the DER.

    base_number: a delta's. shard: of a shard's list, which has the number and the moment of the complete CRL that it
    was made and published with.
    """

    id: int
    authority_id: int
    number: int
    this_update: datetime
    next_update: datetime
    through: int
    entries: int
    size_bytes: int
    chunks: int
    kind: CrlKind = CrlKind.COMPLETE
    base_number: int | None = None
    shard: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """A delegated OCSP key and the certificate that its authority gave it. key_identifier: what names it in answers."""

    authority_id: int
    certificate_id: int
    certificate_der: bytes
    key_identifier: bytes
    not_before: datetime
    not_after: datetime
    private_key: PrivateKey


def next_crl_number(previous: int, now: datetime) -> int:
    """max(previous + 1, YYYYMMDDHH of now in Taipei): rises whatever the clock does."""
    return max(previous + 1, int(now.astimezone(TAIPEI).strftime("%Y%m%d%H")))


def complete_scope(authority: Authority, record: CrlRecord, previous: CrlRecord | None) -> CrlScope:
    """Which entries a complete CRL of that row has, after that one before it.

    Where the clock stepped back behind the previous list's thisUpdate, that of this list counts: what is not expired
    by it is on it.
    """
    if previous is None:
        previous_at, previous_through = authority.certificate.not_valid_before_utc, 0
    else:
        previous_at, previous_through = previous.this_update, previous.through
    return CrlScope(
        authority_id=authority.id,
        through=record.through,
        previous_at=min(previous_at, record.this_update),
        previous_through=previous_through,
    )


def whole_second(moment: datetime) -> datetime:
    """The moment cut to the second, in UTC: what a DER time can say."""
    return moment.astimezone(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlSettings:
    """validity: thisUpdate to nextUpdate. interval: how often one is made; the rest is what an outage may last."""

    validity: timedelta = timedelta(hours=24)
    interval: timedelta = timedelta(hours=12)
    delta_validity: timedelta = timedelta(hours=3)
    delta_interval: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspSettings:
    """validity: thisUpdate to nextUpdate. max_age: how long an HTTP cache may keep an answer (and so hide a change).

    poll: how long this process may go without asking the status log for changes, well under the one second within
    which an acknowledged revocation is visible everywhere. presign: whether answers that
    were asked for are kept and signed anew beforehand. forget_after: how long such an answer is refreshed that nobody
    asked for.
    """

    validity: timedelta = timedelta(minutes=30)
    max_age: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(milliseconds=250)
    cached_answers: int = 8_192
    max_request_bytes: int = 8_192
    max_certificates: int = 16
    presign: bool = True
    forget_after: timedelta = timedelta(days=7)
