"""Status changes and the rules of which may follow which. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from ca_core.revocation.errors import AlreadyRevoked, AlreadySuspended, NotSuspended, ReasonRefused

FIRST_DATE = datetime(1950, 1, 1, tzinfo=UTC)
"""No date on a list is earlier: a DER Time begins there (RFC 5280 s4.1.2.5)."""


class RevocationReason(StrEnum):
    """RFC 5280 s5.3.1, by its names."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    REMOVE_FROM_CRL = "removeFromCRL"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"

    @property
    def crl_code(self) -> int:
        """The CRLReason's number."""
        return _CODES[self]


_CODES = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.REMOVE_FROM_CRL: 8,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
    RevocationReason.AA_COMPROMISE: 10,
}


class Change(StrEnum):
    REVOKE = "revoke"
    SUSPEND = "suspend"
    RESUME = "resume"


_CHANGE_OF_REASON = {
    RevocationReason.CERTIFICATE_HOLD: Change.SUSPEND,
    RevocationReason.REMOVE_FROM_CRL: Change.RESUME,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A row of the log. `sequence` counts every authority's changes without a gap, in the order of their commits.

    at: the revocation date: when it was decided, or of a revocation that ends a suspension, when that began.
    not_after, crl_shard: the certificate's, copied so that CRLs are made from the log alone. by_origin: whether it only
    follows from a change of the certificate that this one was derived from.
    """

    sequence: int
    certificate_id: int
    authority_id: int
    serial: int
    change: Change
    reason: RevocationReason
    at: datetime
    invalidity_date: datetime | None
    actor: str
    not_after: datetime
    crl_shard: int | None = None
    by_origin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlScope:
    """Which entries a complete CRL of one authority has, as of one place in the log.

    through: the last change that counts. previous_at, previous_through: thisUpdate and `through` of the complete CRL
    before. An entry stays until it was on one CRL issued after its certificate's expiry (RFC 5280 s3.3).
    """

    authority_id: int
    through: int
    previous_at: datetime
    previous_through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaScope:
    """Which entries a delta CRL has: the latest change of whatever changed after its base, a resumption as
    removeFromCRL. What expires meanwhile stays on it: it was on no complete CRL yet (RFC 5280 s5.2.4)."""

    authority_id: int
    through: int
    base_through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesSize:
    """How many entries of one shard there are (None: of those certificates that have none), and their octets."""

    shard: int | None
    entries: int
    octets: int


def verify_may_follow(latest: Change | None, wanted: Change, *, makes_own: bool = False) -> None:
    """Accepts what the latest change of a certificate allows.

    good (None or resume) -> revoke, suspend; suspended -> revoke, resume; revoked -> nothing. makes_own: the latest
    only follows from a change of its origin, and the wanted one does not: such a suspension may be followed by one of
    the certificate's own, which its origin's resumption does not take back.
    Raises: AlreadyRevoked, AlreadySuspended, NotSuspended.
    """
    if latest is Change.REVOKE:
        raise AlreadyRevoked
    if wanted is Change.SUSPEND and latest is Change.SUSPEND and not makes_own:
        raise AlreadySuspended
    if wanted is Change.RESUME and latest is not Change.SUSPEND:
        raise NotSuspended


def revocation_date(latest: StatusChange | None, wanted: Change, now: datetime) -> datetime:
    """What lists and answers say. A revocation that ends a suspension dates from its beginning (X.509 s9.5.3.1), as
    does another suspension on top of it: what was signed in between does not become good by it."""
    if wanted is not Change.RESUME and latest is not None and latest.change is Change.SUSPEND:
        return min(latest.at, now)
    return now


_OF_THE_KEY = frozenset(
    (RevocationReason.KEY_COMPROMISE, RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE)
)


def reason_of_derived(reason: RevocationReason) -> RevocationReason:
    """For what was derived from a certificate that is changed for that reason: its own key is not compromised by it,
    but it speaks for nobody any more."""
    return RevocationReason.PRIVILEGE_WITHDRAWN if reason in _OF_THE_KEY else reason


def follows(latest: StatusChange | None, wanted: Change) -> bool:
    """Whether a derived certificate, whose latest change that is, follows its origin in what happens to it.

    A resumption takes back only what the origin's own suspension took along.
    """
    if wanted is Change.REVOKE:
        return latest is None or latest.change is not Change.REVOKE
    if wanted is Change.SUSPEND:
        return latest is None or latest.change is Change.RESUME
    return latest is not None and latest.change is Change.SUSPEND and latest.by_origin


def verify_reason_fits(change: Change, reason: RevocationReason) -> None:
    """Accepts certificateHold for a suspension, removeFromCRL for a resumption, any other for a revocation.

    Raises: ReasonRefused.
    """
    if _CHANGE_OF_REASON.get(reason, Change.REVOKE) is not change:
        raise ReasonRefused(reason)
