"""Table of shard layouts: rows are only ever added."""

from sqlalchemy import Column, Integer, String, Table, bindparam, insert, select

from ca_core.crl_shards.model import ShardLayout
from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from ca_core.schema import metadata

layouts = Table(
    "crl_shard_layouts",
    metadata,
    Column("authority_id", BigId, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("first_shard", Integer, nullable=False),
    Column("shard_count", Integer, nullable=False),
    Column("slug", String(64), nullable=False),
    Column("publication_url", String(255), nullable=False),
    Column("introduced_at", UtcTime, nullable=False),
    Column("actor", String(128), nullable=False),
)

_ADD = Statement(
    insert(layouts).values(
        authority_id=bindparam("authority_id"),
        generation=bindparam("generation"),
        first_shard=bindparam("first_shard"),
        shard_count=bindparam("shard_count"),
        slug=bindparam("slug"),
        publication_url=bindparam("publication_url"),
        introduced_at=bindparam("introduced_at"),
        actor=bindparam("actor"),
    )
)
_OF_AUTHORITY = Statement(
    select(
        layouts.c.authority_id,
        layouts.c.generation,
        layouts.c.first_shard,
        layouts.c.shard_count,
        layouts.c.slug,
        layouts.c.publication_url,
        layouts.c.introduced_at,
    )
    .where(layouts.c.authority_id == bindparam("authority_id"))
    .order_by(layouts.c.generation)
)


def add(tx: Transaction, layout: ShardLayout, *, actor: str) -> None:
    """Raises: Conflict, where somebody introduced that generation meanwhile."""
    tx.execute(
        _ADD,
        authority_id=layout.authority_id,
        generation=layout.generation,
        first_shard=layout.first,
        shard_count=layout.count,
        slug=layout.slug,
        publication_url=layout.publication_url,
        introduced_at=layout.introduced_at,
        actor=actor,
    )


def of_authority(tx: Transaction, authority_id: int) -> list[ShardLayout]:
    """Every layout that it ever had, oldest first."""
    return [
        ShardLayout(
            authority_id=row[0],
            generation=row[1],
            first=row[2],
            count=row[3],
            slug=row[4],
            publication_url=row[5],
            introduced_at=row[6],
        )
        for row in tx.all(_OF_AUTHORITY, authority_id=authority_id)
    ]
