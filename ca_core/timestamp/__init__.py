"""The time stamping authority (RFC 3161)."""

from ca_core.timestamp.clock_health import SteadyClock
from ca_core.timestamp.errors import ClockNotTrusted, TimestampError, TimestampRefused, UnitMissing
from ca_core.timestamp.model import Failure, TimestampSettings
from ca_core.timestamp.records import TimestampRecords
from ca_core.timestamp.service import TimestampAuthority
from ca_core.timestamp.units import TimestampUnits

__all__ = [
    "ClockNotTrusted",
    "Failure",
    "SteadyClock",
    "TimestampAuthority",
    "TimestampError",
    "TimestampRecords",
    "TimestampRefused",
    "TimestampSettings",
    "TimestampUnits",
    "UnitMissing",
]
