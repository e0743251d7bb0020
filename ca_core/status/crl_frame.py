"""A CertificateList's octets around its entries (RFC 5280 s5.1). Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ca_core.revocation import der

_VERSION_2 = der.integer(1)
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")  # 2.5.29.35
_CRL_NUMBER = bytes.fromhex("0603551d14")  # 2.5.29.20
_DELTA_CRL_INDICATOR = bytes.fromhex("0603551d1b")  # 2.5.29.27
_ISSUING_DISTRIBUTION_POINT = bytes.fromhex("0603551d1c")  # 2.5.29.28
_FRESHEST_CRL = bytes.fromhex("0603551d2e")  # 2.5.29.46
_URI = 0x86


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlFrame:
    """Everything of a CRL but its entries and signature.

    algorithm_identifier, issuer: DER. key_identifier: the issuer's key; what tells authorities of one name apart.
    freshest_uri: where the deltas to a complete CRL are. base_number: the complete CRL that a delta is to.
    shard_uri: makes it the list of one shard, by the address that the shard's certificates name.
    """

    algorithm_identifier: bytes
    issuer: bytes
    key_identifier: bytes
    number: int
    this_update: datetime
    next_update: datetime
    freshest_uri: str | None = None
    base_number: int | None = None
    shard_uri: str | None = None

    def before(self, entries_size: int) -> bytes:
        """TBSCertList up to its first entry, for that many octets of entries. An empty list is left out."""
        head = self._head()
        listed = der.header(der.SEQUENCE, entries_size) if entries_size else b""
        size = len(head) + len(listed) + entries_size + len(self.after())
        return der.header(der.SEQUENCE, size) + head + listed

    def after(self) -> bytes:
        """TBSCertList from its last entry on."""
        key_identifier = der.tlv(der.SEQUENCE, der.tlv(0x80, self.key_identifier))
        extensions = [
            der.extension(_AUTHORITY_KEY_IDENTIFIER, key_identifier),
            der.extension(_CRL_NUMBER, der.integer(self.number)),
        ]
        if self.base_number is not None:
            extensions.append(der.extension(_DELTA_CRL_INDICATOR, der.integer(self.base_number), critical=True))
        if self.shard_uri is not None:
            point = der.tlv(der.SEQUENCE, _distribution_point_name(self.shard_uri))
            extensions.append(der.extension(_ISSUING_DISTRIBUTION_POINT, point, critical=True))
        if self.freshest_uri is not None:
            point = der.tlv(der.SEQUENCE, _distribution_point_name(self.freshest_uri))
            extensions.append(der.extension(_FRESHEST_CRL, der.tlv(der.SEQUENCE, point)))
        return der.explicit(0, der.tlv(der.SEQUENCE, *extensions))

    def _head(self) -> bytes:
        times = der.time(self.this_update) + der.time(self.next_update)
        return _VERSION_2 + self.algorithm_identifier + self.issuer + times

    def tbs(self, entries: Iterable[bytes], entries_size: int) -> Iterator[bytes]:
        """TBSCertList in parts. Raises: ValueError at the end, if the entries had another size than announced."""
        yield self.before(entries_size)
        seen = 0
        for entry in entries:
            seen += len(entry)
            yield entry
        if seen != entries_size:
            raise ValueError("the entries changed while they were read")
        yield self.after()

    def signed_tail(self, signature: bytes) -> bytes:
        """What follows TBSCertList in the CertificateList."""
        return self.algorithm_identifier + der.tlv(der.BIT_STRING, b"\x00", signature)


def certificate_list_header(tbs_size: int, tail_size: int) -> bytes:
    """What precedes TBSCertList in the CertificateList."""
    return der.header(der.SEQUENCE, tbs_size + tail_size)


def _distribution_point_name(uri: str) -> bytes:
    """A DistributionPointName: fullName with one URI."""
    return der.explicit(0, der.explicit(0, der.tlv(_URI, uri.encode("ascii"))))
