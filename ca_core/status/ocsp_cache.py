"""Answers that were given, as long as nothing they say has changed."""

import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.revocation.log import StatusLog
from ca_core.status.ocsp_answers import SignedAnswer

_MANY = 1_000
_AHEAD = 0.75


class AnswerCache:
    """Bounded; least recently asked goes first. Every use asks the status log for changes, unless it did a moment ago.

    An answer is kept only if the log stood still, as this process knows it, since before the status was read: a change
    that overtakes the answer is then still to be heard of, and drops it.
    """

    def __init__(self, database: Database, log: StatusLog, clock: Clock, *, poll: timedelta, size: int) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._poll = poll
        self._size = size
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, SignedAnswer] = OrderedDict()
        self._polled_at = self._due_at = self._fresh_until = datetime.min.replace(tzinfo=UTC)
        self._head = -1

    def is_fresh(self, now: datetime) -> bool:
        """Whether the log was asked for changes a moment ago."""
        return self._polled_at <= now < self._fresh_until

    def is_due(self, now: datetime) -> bool:
        """Whether, while it is still fresh, the log should be asked again, so that nobody has to wait for it."""
        return now >= self._due_at

    def refresh(self) -> int:
        """Drops what changed elsewhere; returns the log's place that is now known. Raises: Unavailable."""
        now = self._clock()
        return self._head if self.is_fresh(now) else self._ask(now)

    def refresh_ahead(self) -> None:
        """As `refresh`, though it is fresh. Raises: Unavailable."""
        self._ask(self._clock())

    def _ask(self, now: datetime) -> int:
        with self._database.read() as tx:
            head = self._log.head(tx)
            known = self._head
            changed = (
                {change.certificate_id for change in self._log.changes_after(tx, known, limit=_MANY)}
                if 0 <= known < head <= known + _MANY
                else None
            )
        with self._lock:
            if head > known:
                self._drop(changed)
            self._head = max(self._head, head)
            self._polled_at, self._fresh_until = now, now + self._poll
            self._due_at = now + self._poll * _AHEAD
            return self._head

    def find(self, key: bytes, now: datetime) -> SignedAnswer | None:
        """A kept answer in the first half of its life."""
        with self._lock:
            found = self._answers.get(key)
            if found is None:
                return None
            if not found.is_young(now):
                del self._answers[key]
                return None
            self._answers.move_to_end(key)
            return found

    def keep(self, key: bytes, answer: SignedAnswer, *, known_head: int) -> None:
        """Keeps an answer whose statuses were read after `refresh` returned `known_head`."""
        with self._lock:
            if known_head != self._head:
                return
            self._answers[key] = answer
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)

    def _drop(self, changed: set[int] | None) -> None:
        if changed is None:
            self._answers.clear()
            return
        for key in [key for key, answer in self._answers.items() if not changed.isdisjoint(answer.certificate_ids)]:
            del self._answers[key]
