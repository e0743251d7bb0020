"""Reading a CRL entry by entry, from chunks, in bounded memory; its signature is verified on the way.

For lists of this house, whose frame `crl_frame` writes; strict, and not for anybody else's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509

from ca_core.keys.model import PublicKey
from ca_core.revocation import der
from ca_core.status.errors import CrlMalformed
from ca_core.status.signing import hasher_of, scheme_of, verify_digest_signature

_MAX_FIELD = 65_536
_TIMES = (der.UTC_TIME, der.GENERALIZED_TIME)
_EXTENSIONS = 0xA0
_T = TypeVar("_T", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlFacts:
    """What a CRL says of itself. issuer: DER. base_number: a delta's. shard_uri: a shard's."""

    issuer: bytes
    key_identifier: bytes | None
    number: int
    this_update: datetime
    next_update: datetime
    base_number: int | None
    shard_uri: str | None


class CrlReader:
    """A CertificateList. Iterate `entries` to its end: then the signature is verified, and `facts` can be asked."""

    def __init__(self, chunks: Iterable[bytes], key: PublicKey) -> None:
        self._chunks = iter(chunks)
        self._key = key
        self._hash = hasher_of(key)
        self._buffer = bytearray()
        self._facts: CrlFacts | None = None

    @property
    def facts(self) -> CrlFacts:
        """Raises: CrlMalformed, before the end was reached."""
        if self._facts is None:
            raise CrlMalformed("not read to its end")
        return self._facts

    def entries(self) -> Iterator[bytes]:
        """Each entry's DER. Raises: CrlMalformed; SigningFault, at the end."""
        _, _, outer = self._header(der.SEQUENCE)
        head, tbs_header_size, tbs_size = self._header(der.SEQUENCE)
        self._hash.update(head)
        left = tbs_size
        fields: list[bytes] = []
        extensions = b""
        while left:
            tag, header_size, size = self._peek()
            if header_size + size > left:
                raise CrlMalformed("a field reaches beyond the list")
            left -= header_size + size
            if tag == der.SEQUENCE and len(fields) == 5:
                fields.append(b"")
                self._hash.update(self._take(header_size))
                yield from self._listed(size)
                continue
            field = self._take_field(header_size + size)
            self._hash.update(field)
            if tag == _EXTENSIONS:
                extensions = field
            else:
                fields.append(field)
        tail_size = outer - tbs_header_size - tbs_size
        tail = self._take_field(tail_size)
        if self._buffer or any(self._chunks):
            raise CrlMalformed("octets after the end")
        self._verify(tail)
        self._facts = self._parse(fields, extensions, tail)

    def _listed(self, size: int) -> Iterator[bytes]:
        """The entries, a run at a time hashed at once."""
        while size:
            _, header_size, content = self._peek()
            length = header_size + content
            if length > size:
                raise CrlMalformed("an entry reaches beyond the entries")
            entry = self._take_field(length)
            if entry[0] != der.SEQUENCE:
                raise CrlMalformed("an entry is a SEQUENCE")
            self._hash.update(entry)
            size -= length
            yield entry

    def _verify(self, tail: bytes) -> None:
        identifier = scheme_of(self._key).algorithm_identifier
        bits = tail[len(identifier) :]
        header = _header_of(bits)
        if not tail.startswith(identifier) or header is None or bits[0] != der.BIT_STRING:
            raise CrlMalformed("the signature")
        verify_digest_signature(self._key, self._hash.finalize(), bits[header[0] + 1 :])

    def _parse(self, fields: list[bytes], extensions: bytes, tail: bytes) -> CrlFacts:
        """The frame without its entries is a small CRL, which `cryptography` reads."""
        if len(fields) < 5 or fields[3][0] not in _TIMES or fields[4][0] not in _TIMES:
            raise CrlMalformed("the frame")
        small = der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, *fields[:5], extensions), tail)
        try:
            crl = x509.load_der_x509_crl(small)
            next_update = crl.next_update_utc
            number = _extension(crl, x509.CRLNumber)
            if next_update is None or number is None:
                raise CrlMalformed("no nextUpdate or no number")
            identifier = _extension(crl, x509.AuthorityKeyIdentifier)
            delta = _extension(crl, x509.DeltaCRLIndicator)
            point = _extension(crl, x509.IssuingDistributionPoint)
            return CrlFacts(
                issuer=crl.issuer.public_bytes(),
                key_identifier=None if identifier is None else identifier.key_identifier,
                number=number.crl_number,
                this_update=crl.last_update_utc.astimezone(UTC),
                next_update=next_update.astimezone(UTC),
                base_number=None if delta is None else delta.crl_number,
                shard_uri=None if point is None else _uri(point),
            )
        except (
            ValueError,
            TypeError,
            AttributeError,
            x509.DuplicateExtension,
            x509.InvalidVersion,
            x509.UnsupportedGeneralNameType,
        ) as error:
            raise CrlMalformed(str(error)) from error

    def _header(self, tag: int) -> tuple[bytes, int, int]:
        """(octets, their number, the content's size) of a value of that tag, which is entered."""
        found, header_size, size = self._peek()
        if found != tag:
            raise CrlMalformed(f"tag {found:#x} where {tag:#x} should be")
        return self._take(header_size), header_size, size

    def _peek(self) -> tuple[int, int, int]:
        """(tag, size of tag and length, size of content) of the next value."""
        while (header := _header_of(self._buffer)) is None:
            self._more()
        return self._buffer[0], *header

    def _take_field(self, size: int) -> bytes:
        if size > _MAX_FIELD:
            raise CrlMalformed("a field is too large")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise CrlMalformed("it ends early")
        self._buffer += chunk


def _uri(point: x509.IssuingDistributionPoint) -> str:
    names = point.full_name or []
    if len(names) != 1 or point.only_some_reasons or point.indirect_crl:
        raise CrlMalformed("the issuingDistributionPoint")
    return str(names[0].value)


def _header_of(octets: bytes | bytearray) -> tuple[int, int] | None:
    """(size of tag and length, size of content), or None where more octets are needed. Raises: CrlMalformed."""
    if len(octets) < 2:
        return None
    first = octets[1]
    if first < 0x80:
        return 2, first
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise CrlMalformed("a length")
    if len(octets) < 2 + count:
        return None
    return 2 + count, int.from_bytes(octets[2 : 2 + count], "big")


def _extension(crl: x509.CertificateRevocationList, kind: type[_T]) -> _T | None:
    try:
        return crl.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
