"""Time and chance that a test decides."""

import random
import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 1, 2, 3, tzinfo=UTC)
"""A Monday morning in Taipei: when every test begins that does not say otherwise."""


class FakeClock:
    """A Clock that moves only when it is told to.

    `clock()` and `clock.now` give the moment; `clock.now = ...` and `clock.set(...)` put it anywhere (aware, any zone).
    """

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    @property
    def now(self) -> datetime:
        return self()

    @now.setter
    def now(self, moment: datetime) -> None:
        self.set(moment)

    def set(self, moment: datetime) -> None:
        """Puts the clock on an aware moment."""
        if moment.tzinfo is None:
            raise ValueError("a moment needs its zone")
        with self._lock:
            self._now = moment.astimezone(UTC)

    def advance(self, seconds: float) -> datetime:
        """Moves on (or back, where negative) and returns the new moment."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            return self._now


class SeededRng:
    """An Rng whose octets are the same in every run of a test; never twice the same within one. Safe among threads."""

    def __init__(self, seed: int = 20260302) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._lock = threading.Lock()

    def __call__(self, size_bytes: int) -> bytes:
        with self._lock:
            return self._random.randbytes(size_bytes)
