"""The time, as a constructor argument."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]
"""Returns the present as an aware datetime in UTC."""

TAIPEI = ZoneInfo("Asia/Taipei")


def system_clock() -> datetime:
    """The machine's clock, aware, UTC, microseconds."""
    return datetime.now(UTC)


def end_of_day_in_taipei(moment: datetime) -> datetime:
    """23:59:59 in Taipei on the Taipei day of an aware moment, in UTC: where every notAfter snaps to."""
    local = moment.astimezone(TAIPEI)
    return local.replace(hour=23, minute=59, second=59, microsecond=0).astimezone(UTC)
