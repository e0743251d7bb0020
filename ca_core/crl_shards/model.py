"""Layouts of shards. Pure.

A shard's number belongs to one layout and is never used again: a new layout has new numbers, from now on, for new
certificates. So the borders of a shard cannot move, whatever is configured later.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

MAX_SHARDS = 1_024
"""All shards of an authority, of every layout it ever had."""
_SHARD_URI = re.compile(r"https?://[^?#]+/crl/[a-z0-9-]+/(0|[1-9][0-9]{0,5})\.crl")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlShard:
    """A part of an authority's certificates. uri: where its list is, as its certificates and its list itself say."""

    number: int
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLayout:
    """How an authority's new certificates are dealt out, since a moment. Never changed once it is written.

    publication_url: as in the certificates, e.g. "http://pki.example.tw/pki"; kept here because a certificate and its
    list must name the same address to the letter (RFC 5280 s6.3.3 b 2 i), also after the configuration changed.
    """

    authority_id: int
    generation: int
    first: int
    count: int
    slug: str
    publication_url: str
    introduced_at: datetime

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)

    def shard_of(self, serial: int) -> CrlShard:
        """The shard of a certificate that is being issued. Of one that was issued, what was recorded with it counts."""
        return self.shard(self.first + serial % self.count)

    def shard(self, number: int) -> CrlShard:
        """One of `numbers`."""
        return CrlShard(number=number, uri=f"{self.publication_url}/crl/{self.slug}/{number}.crl")


def shard_named_by(certificate: x509.Certificate) -> int | None:
    """The shard that a certificate of this house names in its first distribution point; None where it names none."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return None
    names = points[0].full_name or []
    found = _SHARD_URI.fullmatch(names[0].value) if names else None
    return None if found is None else int(found.group(1))
