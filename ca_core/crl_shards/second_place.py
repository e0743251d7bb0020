"""Layouts of shards in the second place: a certificate that a restore brings back names a shard that is there too."""

from datetime import UTC, datetime, timedelta

from ca_core.crl_shards import store
from ca_core.crl_shards.model import ShardLayout
from ca_core.kernel.database import Transaction
from ca_core.kernel.second_place import Record

LAYOUT_KIND = "crl_shards"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def layout_record(layout: ShardLayout, *, actor: str) -> Record:
    """Everything that the layout's row holds."""
    return {
        "kind": LAYOUT_KIND,
        "authority_id": layout.authority_id,
        "generation": layout.generation,
        "first": layout.first,
        "count": layout.count,
        "slug": layout.slug,
        "publication_url": layout.publication_url,
        "introduced_at": (layout.introduced_at - _EPOCH) // _MICROSECOND,
        "actor": actor,
    }


def parse_layout_record(record: Record) -> ShardLayout:
    """Raises: ValueError, KeyError, for what `layout_record` did not make."""
    return ShardLayout(
        authority_id=_integer(record["authority_id"]),
        generation=_integer(record["generation"]),
        first=_integer(record["first"]),
        count=_integer(record["count"]),
        slug=str(record["slug"]),
        publication_url=str(record["publication_url"]),
        introduced_at=_EPOCH + timedelta(microseconds=_integer(record["introduced_at"])),
    )


def restore_layout(tx: Transaction, layout: ShardLayout, *, actor: str) -> bool:
    """Adds a layout with its own borders and address; False where its generation is there."""
    if any(known.generation == layout.generation for known in store.of_authority(tx, layout.authority_id)):
        return False
    store.add(tx, layout, actor=actor)
    return True


def _integer(value: str | int | None) -> int:
    if not isinstance(value, int):
        raise ValueError("not an integer")
    return value
