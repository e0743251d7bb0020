"""What a session starts from, the session, and the limits it lives within."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

Standing: TypeAlias = str | None
"""What a statement read of a session: None where it has ended or passed its absolute limit, else the latest change in
the status log of the certificate behind it, empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """Evidence was verified: this person, this strongly, at this moment.

    method: `card` (later `phone`, `passkey`). statement_digest: SHA-256 over the statement that was signed.
    status_source and status_age_s: what the certificate's status check rested on, for the `revocation` claim.
    not_after: when the certificate expires, where it does; no session outlives it.
    """

    person_id: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    certificate_id: int
    method: str
    statement_digest: bytes
    status_source: str
    status_age_s: int
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """idle_s: since the last use. absolute_s: since the login, whatever is done. touch_s: how fine idleness is kept."""

    idle_s: int = 30 * 60
    absolute_s: int = 8 * 60 * 60
    touch_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login in one browser. `id` is internal and never leaves the provider; relying parties see `sid` instead.

    expires_at: the absolute limit.
    """

    id: str
    person_id: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    certificate_id: int
    method: str
    statement_digest: bytes
    status_source: str
    status_age_s: int
    last_used_at: datetime
    expires_at: datetime

    def is_live(self, now: datetime, limits: SessionLimits) -> bool:
        """Whether neither the absolute nor the idle limit has passed."""
        return now < self.expires_at and now < self.last_used_at + timedelta(seconds=limits.idle_s)
