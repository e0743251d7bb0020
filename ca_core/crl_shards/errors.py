"""Why a layout of shards is refused."""

from ca_core.kernel.errors import DomainError


class CrlShardsError(DomainError):
    code = "crl_shards_error"


class ShardLayoutRefused(CrlShardsError):
    """A count or an address that cannot be, too many shards in all, or somebody else introduced one at that moment."""

    code = "shard_layout_refused"
