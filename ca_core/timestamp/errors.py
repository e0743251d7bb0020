"""What keeps a stamp from being given."""

from ca_core.kernel.errors import DomainError
from ca_core.timestamp.model import Failure


class TimestampError(DomainError):
    code = "timestamp_error"


class TimestampRefused(TimestampError):
    """A request that the protocol refuses; `failure` goes on the wire."""

    code = "timestamp_refused"

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(detail or failure.name.lower())
        self.failure = failure


class UnitMissing(TimestampError):
    """No time-stamping key with a good, valid certificate."""

    code = "timestamp_unit_missing"


class ClockNotTrusted(TimestampError):
    """The clock was stepped, or is behind what was stamped already."""

    code = "timestamp_clock_not_trusted"
