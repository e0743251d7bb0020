"""Certificates in files: a folder of DER or PEM files, a PEM bundle, LDIF. Nothing here is trusted or kept.

Every reader can begin at any cursor that it gave before, and gives the same entries from there.
"""

import os
import stat
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ca_core.migration.errors import SourceRefused
from ca_core.migration.lines import Line, read_lines
from ca_core.migration.model import Cursor, Item, Reason, masked

MAX_ENTRY_BYTES = 65_536
_MAX_LINE = 8_192
_BLOCK = 1024 * 1024
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_LDIF_NAMES = frozenset({b"usercertificate", b"usercertificate;binary"})
_ASN1_SEQUENCE = 0x30


class CertificateSource(Protocol):
    """A file or folder of certificates."""

    @property
    def name(self) -> str: ...

    @property
    def total(self) -> int:
        """What `Cursor.offset` ends at."""
        ...

    def digest(self) -> str:
        """SHA-256 over all of it: what tells a file from another when an import goes on."""
        ...

    def items(self, start: Cursor) -> Iterator[Item]: ...


def open_certificates(path: Path) -> CertificateSource:
    """By what it is, not by its name. Raises: SourceRefused."""
    try:
        if path.is_dir():
            return FolderSource(path)
        with path.open("rb") as file:
            head = file.read(MAX_ENTRY_BYTES)
    except OSError as error:
        raise SourceRefused(f"{masked(path.name)}: {error.strerror}") from error
    if head[:1] == bytes((_ASN1_SEQUENCE,)):
        return SingleSource(path)
    if _BEGIN in head:
        return PemSource(path)
    passed_over = (b"#", b" ")  # comments, folded ones too
    first = next((line for line in head.splitlines() if line.strip() and not line.startswith(passed_over)), b"")
    if first.lower().startswith((b"version:", b"dn:")):
        return LdifSource(path)
    raise SourceRefused(f"{masked(path.name)}: neither DER, PEM nor LDIF")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path

    @property
    def name(self) -> str:
        return masked(self.path.name)

    @property
    def total(self) -> int:
        return self.path.stat().st_size

    def digest(self) -> str:
        return digest_of(self.path)


class SingleSource(_File):
    """One certificate in DER."""

    def items(self, start: Cursor) -> Iterator[Item]:
        if start.offset:
            return
        after = Cursor(offset=self.total, line=1)
        if self.total > MAX_ENTRY_BYTES:
            yield Item(place="the file", after=after, octets=None, refusal=Reason.TOO_LARGE)
        else:
            yield Item(place="the file", after=after, octets=self.path.read_bytes())


class PemSource(_File):
    """Certificates one after another; whatever stands between them is passed over."""

    def items(self, start: Cursor) -> Iterator[Item]:
        with self.path.open("rb") as file:
            block: _Value | None = None
            for line in read_lines(file, start, _MAX_LINE):
                text = None if line.octets is None else line.octets.strip()
                if text == _BEGIN:
                    if block is not None:
                        yield block.refused(line.start, Reason.ENCODING)
                    block = _Value(f"line {line.number}")
                elif block is not None and text == _END:
                    yield block.item(line.after)
                    block = None
                elif block is not None:
                    block.add(text)
            if block is not None:
                yield block.refused(Cursor(offset=self.total, line=0), Reason.ENCODING)


class LdifSource(_File):
    """The values of userCertificate, in base64, folded or not. Spec: RFC 2849."""

    def items(self, start: Cursor) -> Iterator[Item]:
        with self.path.open("rb") as file:
            value: _Value | None = None
            for line in read_lines(file, start, _MAX_LINE):
                if line.octets is not None and line.octets.startswith(b" "):
                    if value is not None:
                        value.add(line.octets[1:])
                    continue
                if value is not None:
                    yield value.item(line.start)
                    value = None
                value = _ldif_value(line)
                if line.octets is None:
                    yield Item(place=f"line {line.number}", after=line.after, octets=None, refusal=Reason.LINE_TOO_LONG)
            if value is not None:
                yield value.item(Cursor(offset=self.total, line=0))


class FolderSource:
    """Every regular file below a folder, in the order of their names, each one certificate in DER or PEM."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = sorted(
            os.path.relpath(os.path.join(folder, name), path)
            for folder, _, names in os.walk(path, onerror=_raise_refused)
            for name in names
        )

    @property
    def name(self) -> str:
        return masked(self._path.name)

    @property
    def total(self) -> int:
        return len(self._names)

    def digest(self) -> str:
        """Over every name and content."""
        state = sha256()
        for name in self._names:
            path = self._path / name
            state.update(os.fsencode(name) + b"\0")
            state.update((digest_of(path) if _is_plain(path) else "-").encode("ascii"))
        return state.hexdigest()

    def items(self, start: Cursor) -> Iterator[Item]:
        for index, name in enumerate(self._names[start.offset :], start.offset + 1):
            place, after = f"file {index}: {masked(name)}", Cursor(offset=index, line=0)
            path = self._path / name
            if not _is_plain(path):
                yield Item(place=place, after=after, octets=None, refusal=Reason.NOT_A_FILE)
            elif path.stat().st_size > MAX_ENTRY_BYTES:
                yield Item(place=place, after=after, octets=None, refusal=Reason.TOO_LARGE)
            else:
                yield _of_file(place, after, path.read_bytes())


def digest_of(path: Path) -> str:
    """SHA-256 of a file in bounded memory. Raises: SourceRefused."""
    state = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                state.update(block)
    except OSError as error:
        raise SourceRefused(f"{masked(path.name)}: {error.strerror}") from error
    return state.hexdigest()


class _Value:
    """Base64 that is being gathered, up to the bound of an entry."""

    def __init__(self, place: str, first: bytes = b"") -> None:
        self._place = place
        self._parts: list[bytes] | None = []
        self._size = 0
        self.add(first)

    def add(self, part: bytes | None) -> None:
        self._size += _MAX_LINE if part is None else len(part)
        if part is None or self._size > MAX_ENTRY_BYTES * 4 // 3:
            self._parts = None
        elif self._parts is not None:
            self._parts.append(part)

    def item(self, after: Cursor) -> Item:
        if self._parts is None:
            return self.refused(after, Reason.TOO_LARGE)
        try:
            octets = b64decode(b"".join(self._parts).translate(None, b" \t"), validate=True)
        except ValueError:
            return self.refused(after, Reason.ENCODING)
        return Item(place=self._place, after=after, octets=octets)

    def refused(self, after: Cursor, reason: Reason) -> Item:
        return Item(place=self._place, after=after, octets=None, refusal=reason)


def _ldif_value(line: Line) -> _Value | None:
    if line.octets is None or line.octets.startswith(b"#"):
        return None
    name, colon, rest = line.octets.partition(b":")
    if not colon or name.strip().lower() not in _LDIF_NAMES:
        return None
    value = _Value(f"line {line.number}", rest[1:].strip())
    return value if rest.startswith(b":") else _Value(f"line {line.number}", b"!")


def _of_file(place: str, after: Cursor, octets: bytes) -> Item:
    if _BEGIN not in octets:
        return Item(place=place, after=after, octets=octets)
    _, _, rest = octets.partition(_BEGIN)
    body, end, others = rest.partition(_END)
    if _BEGIN in others:
        return Item(place=place, after=after, octets=None, refusal=Reason.NOT_ONE_CERTIFICATE)
    value = _Value(place, b"".join(body.split()))
    return value.item(after) if end else value.refused(after, Reason.ENCODING)


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _raise_refused(error: OSError) -> None:
    raise SourceRefused(f"{masked(os.path.basename(str(error.filename)))}: {error.strerror}") from error
