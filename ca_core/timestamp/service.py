"""The time stamping authority: octets in, octets out; every fault of a request ends in a protocol error."""

import threading
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from ca_core.kernel.clock import Clock
from ca_core.kernel.errors import Conflict, DomainError
from ca_core.kernel.rng import Rng
from ca_core.timestamp.errors import ClockNotTrusted, TimestampRefused
from ca_core.timestamp.model import Failure, Stamp, StampRequest, TimestampAnswer, TimestampSettings
from ca_core.timestamp.ports import ClockHealth, Units
from ca_core.timestamp.records import TimestampRecords
from ca_core.timestamp.request import parse_timestamp_request
from ca_core.timestamp.response import granted_response, refusal_response, to_milliseconds

log = structlog.get_logger(__name__)
_SERIAL_BYTES = 19
_TRIES = 3
_QUIET = timedelta(minutes=1)
_DEFAULTS = TimestampSettings()


class TimestampAuthority:
    """Stamps digests with the time of a clock that it trusts."""

    def __init__(
        self,
        units: Units,
        records: TimestampRecords,
        health: ClockHealth,
        clock: Clock,
        rng: Rng,
        settings: TimestampSettings = _DEFAULTS,
    ) -> None:
        self._units = units
        self._records = records
        self._health = health
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._lock = threading.Lock()
        self._clock_reported: datetime | None = None

    @property
    def max_request_bytes(self) -> int:
        return self._settings.max_request_bytes

    def respond(self, request_der: bytes) -> TimestampAnswer:
        """A TimeStampResp, whatever comes."""
        try:
            return TimestampAnswer(der=self.stamp(parse_timestamp_request(request_der, self._settings)))
        except TimestampRefused as error:
            return refusal(error.failure)
        except ClockNotTrusted as error:
            self._report(error)
            return refusal(Failure.TIME_NOT_AVAILABLE)
        except DomainError as error:
            log.warning("timestamp_failed", code=error.code, detail=error.detail)
            return refusal(Failure.SYSTEM_FAILURE)

    def stamp(self, request: StampRequest) -> bytes:
        """The granted response. The stamp is recorded before it is signed, and the signing is outside the transaction.

        Raises: ClockNotTrusted; UnitMissing; Unavailable; Conflict.
        """
        self._health.verify()
        unit = self._units.current()
        for attempt in range(_TRIES):
            stamp = Stamp(
                serial=_positive(self._rng(_SERIAL_BYTES)), gen_time=to_milliseconds(self._clock()), request=request
            )
            try:
                self._records.record(stamp, unit.id, behind=self._settings.behind)
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
            else:
                return granted_response(stamp, unit, self._settings)
        raise Conflict("serial")

    def _report(self, error: ClockNotTrusted) -> None:
        """One audit event a minute: whoever asks may ask often."""
        now = self._clock()
        with self._lock:
            last = self._clock_reported
            if last is not None and abs(now - last) < _QUIET:
                return
            self._clock_reported = now
        with suppress(DomainError):
            self._records.clock_refused(error)


def refusal(failure: Failure) -> TimestampAnswer:
    return TimestampAnswer(der=refusal_response(failure), failure=failure)


def _positive(octets: bytes) -> int:
    """A serial of at most 152 bits, at least 1 (RFC 3161 s2.4.2 allows 160)."""
    return int.from_bytes(octets, "big") or 1
