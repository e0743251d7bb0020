"""Distrust of a clock that jumps."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ca_core.kernel.clock import Clock
from ca_core.timestamp.errors import ClockNotTrusted


class SteadyClock:
    """Compares the clock with the machine's monotonic one, which is slewed with it but never stepped.

    Once they have drifted apart by more than `bound` since the start, the clock is not trusted until it has been
    steady again for `settle`: the clock may have been put right, but nobody here can know that at once. Whether the
    clock was right at the start is for the machine's time service to see to.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        bound: timedelta = timedelta(milliseconds=500),
        settle: timedelta = timedelta(minutes=5),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._bound = bound
        self._settle_s = settle.total_seconds()
        self._lock = threading.Lock()
        self._anchor: tuple[datetime, float] = (clock(), monotonic())
        self._distrusted_since_s: float | None = None

    def verify(self) -> None:
        """Raises: ClockNotTrusted."""
        with self._lock:
            now, ticks = self._clock(), self._monotonic()
            began, began_ticks = self._anchor
            drift = (now - began) - timedelta(seconds=ticks - began_ticks)
            if abs(drift) > self._bound:
                self._anchor, self._distrusted_since_s = (now, ticks), ticks
            if self._distrusted_since_s is None:
                return
            if ticks - self._distrusted_since_s >= self._settle_s:
                self._distrusted_since_s = None
                return
        raise ClockNotTrusted("the clock was stepped")
