"""Which part of an authority's revocation lists a certificate belongs to: decided when it is issued, for good."""

from ca_core.crl_shards.errors import CrlShardsError, ShardLayoutRefused
from ca_core.crl_shards.model import CrlShard, ShardLayout, shard_named_by
from ca_core.crl_shards.service import ShardLayouts

__all__ = ["CrlShard", "CrlShardsError", "ShardLayout", "ShardLayoutRefused", "ShardLayouts", "shard_named_by"]
