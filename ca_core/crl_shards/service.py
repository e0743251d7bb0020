"""The layouts of shards, for those who issue and for those who make the lists."""

import threading
from datetime import datetime, timedelta

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.crl_shards import store
from ca_core.crl_shards.errors import ShardLayoutRefused
from ca_core.crl_shards.model import MAX_SHARDS, ShardLayout
from ca_core.crl_shards.second_place import layout_record
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace

_FRESH = timedelta(seconds=1)
_MAX_URL = 200


class ShardLayouts:
    """Each authority's layouts, from the database. An authority without one issues certificates without a shard."""

    def __init__(
        self, database: Database, audit: AuditLog, clock: Clock, *, second_place: SecondPlace = WITHOUT_SECOND_PLACE
    ) -> None:
        self._database = database
        self._second_place = second_place
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[int, tuple[datetime, ShardLayout | None]] = {}

    def current(self, authority_id: int) -> ShardLayout | None:
        """The one for new certificates, at most a second old: harmless, since every layout ever made is served."""
        now = self._clock()
        known = self._known.get(authority_id)
        if known is None or not timedelta(0) <= now - known[0] < _FRESH:
            with self._database.read() as tx:
                found = store.of_authority(tx, authority_id)
            known = (now, found[-1] if found else None)
            with self._lock:
                self._known[authority_id] = known
        return known[1]

    def all(self, tx: Transaction, authority_id: int) -> list[ShardLayout]:
        """Every layout that an authority ever had, oldest first."""
        return store.of_authority(tx, authority_id)

    def introduce(self, authority_id: int, slug: str, *, count: int, publication_url: str, actor: str) -> ShardLayout:
        """Deals out the certificates that are issued from now on; those that exist stay where they are.

        Durable in the second place before it is committed. Raises: ShardLayoutRefused, SecondPlaceUnavailable.
        """
        if not publication_url.startswith(("http://", "https://")) or len(publication_url) > _MAX_URL:
            raise ShardLayoutRefused("publication_url")
        try:
            with self._database.write() as tx:
                earlier = store.of_authority(tx, authority_id)
                first = earlier[-1].first + earlier[-1].count if earlier else 0
                if count < 1 or first + count > MAX_SHARDS:
                    raise ShardLayoutRefused(f"count: {first} of {MAX_SHARDS} shards are taken")
                layout = ShardLayout(
                    authority_id=authority_id,
                    generation=len(earlier) + 1,
                    first=first,
                    count=count,
                    slug=slug,
                    publication_url=publication_url.rstrip("/"),
                    introduced_at=self._clock(),
                )
                store.add(tx, layout, actor=actor)
                self._audit.append(tx, _event(layout, actor))
                self._second_place.append([layout_record(layout, actor=actor)])
        except Conflict as error:
            raise ShardLayoutRefused("another was introduced at this moment") from error
        with self._lock:
            self._known.pop(authority_id, None)
        return layout


def _event(layout: ShardLayout, actor: str) -> AuditEvent:
    return AuditEvent(
        name="crl.shards_introduced",
        actor=actor,
        outcome=Outcome.OK,
        subject=f"authority:{layout.authority_id}",
        detail={"generation": layout.generation, "first": layout.first, "count": layout.count},
    )
