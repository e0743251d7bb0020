"""Time and randomness, as constructor arguments: the only place of the bridge that asks the machine for either."""

import secrets  # noqa: TID251 - this module is where randomness enters
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as an aware datetime in UTC."""

Monotonic = Callable[[], float]
"""Returns seconds on a clock that never goes back."""

Rng = Callable[[int], bytes]
"""Returns that many unpredictable octets."""

system_rng: Rng = secrets.token_bytes


def system_clock() -> datetime:
    """The machine's clock, aware, UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this module is where the time enters


def random_token(rng: Rng, size_bytes: int = 32) -> str:
    """Unpredictable octets as base64url without padding: 43 characters for the default 256 bits."""
    return urlsafe_b64encode(rng(size_bytes)).rstrip(b"=").decode("ascii")
