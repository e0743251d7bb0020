"""Signed notes, their keys, and witnesses' cosignatures (c2sp.org/signed-note, c2sp.org/tlog-cosignature). Pure."""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ca_core.audit.errors import NoteRefused

MAX_NOTE_BYTES = 65_536
MAX_SIGNATURES = 64
ED25519 = 0x01
COSIGNATURE_V1 = 0x04
_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_NAME = re.compile(r"[^\s+]+")
_MAX_TIME_S = 253_402_300_799  # the last second that a datetime can hold

SignOctets = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line. key_id: 4 octets that tell keys of one name apart; they prove nothing."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.value).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """text: ends in a newline. Nothing in it is true before a signature is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @property
    def octets(self) -> bytes:
        return (self.text + "\n" + "".join(signature.line for signature in self.signatures)).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """An Ed25519 key with its name and the kind of signature that it makes: ED25519 or COSIGNATURE_V1."""

    name: str
    kind: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public_key).digest()[:4]

    @property
    def text(self) -> str:
        """The key as operators exchange it ("vkey")."""
        material = b64encode(bytes((self.kind,)) + self.public_key).decode("ascii")
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def made(self, signature: NoteSignature) -> bool:
        """True iff the signature says it is this key's."""
        return signature.name == self.name and signature.key_id == self.key_id


def parse_verifier_key(text: str) -> VerifierKey:
    """A key from its text form. Raises: NoteRefused."""
    try:
        name, key_id, material = text.strip().split("+", 2)
        octets = b64decode(material, validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoteRefused("not a key: <name>+<key id>+<base64>") from error
    if not _KEY_NAME.fullmatch(name) or len(octets) != 33 or octets[0] not in (ED25519, COSIGNATURE_V1):
        raise NoteRefused("not an Ed25519 key for notes or cosignatures")
    key = VerifierKey(name=name, kind=octets[0], public_key=octets[1:])
    if key.key_id.hex() != key_id:
        raise NoteRefused("the key's id is not the key's")
    return key


def parse_note(octets: bytes) -> Note:
    """A note from untrusted octets, at most MAX_NOTE_BYTES and MAX_SIGNATURES. Raises: NoteRefused."""
    if len(octets) > MAX_NOTE_BYTES:
        raise NoteRefused("too long")
    try:
        whole = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteRefused("not UTF-8") from error
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not text or not lines.endswith("\n") or _CONTROL.search(whole):
        raise NoteRefused("not a signed note")
    rows = lines[:-1].split("\n")
    if len(rows) > MAX_SIGNATURES:
        raise NoteRefused("too many signatures")
    return Note(text=text + "\n", signatures=tuple(parse_signature_line(row) for row in rows))


def parse_signature_line(row: str) -> NoteSignature:
    """A signature line without its newline. Raises: NoteRefused."""
    name, space, material = row.removeprefix(_DASH).partition(" ")
    try:
        value = b64decode(material, validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoteRefused("not a signature line") from error
    if not row.startswith(_DASH) or not space or not _KEY_NAME.fullmatch(name) or len(value) < 5:
        raise NoteRefused("not a signature line")
    return NoteSignature(name=name, key_id=value[:4], value=value[4:])


def sign_note(text: str, key: VerifierKey, sign: SignOctets) -> NoteSignature:
    """A signature over a note's text by the private half of the key."""
    return NoteSignature(name=key.name, key_id=key.key_id, value=sign(text.encode()))


def verify_note(note: Note, key: VerifierKey) -> None:
    """Accepts iff the key signed the note, and everything in its name is its. Raises: NoteRefused."""
    own = [signature for signature in note.signatures if key.made(signature)]
    if not own:
        raise NoteRefused(f"{key.name} has not signed it")
    for signature in own:
        _verify(key, signature.value, note.text.encode())


def cosign(text: str, key: VerifierKey, sign: SignOctets, at: datetime) -> NoteSignature:
    """A witness's cosignature over a checkpoint's text."""
    stamp = int(at.timestamp())
    value = stamp.to_bytes(8, "big") + sign(_cosigned(text, stamp))
    return NoteSignature(name=key.name, key_id=key.key_id, value=value)


def verify_cosignature(text: str, signature: NoteSignature, key: VerifierKey) -> datetime:
    """When the witness cosigned the checkpoint's text, by its own clock. Raises: NoteRefused."""
    stamp = int.from_bytes(signature.value[:8], "big")
    if key.kind != COSIGNATURE_V1 or not key.made(signature) or len(signature.value) != 72 or stamp > _MAX_TIME_S:
        raise NoteRefused(f"not a cosignature of {key.name}")
    _verify(key, signature.value[8:], _cosigned(text, stamp))
    return datetime.fromtimestamp(stamp, UTC)


def _cosigned(text: str, stamp: int) -> bytes:
    return f"cosignature/v1\ntime {stamp}\n{text}".encode()


def _verify(key: VerifierKey, signature: bytes, octets: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, octets)
    except (InvalidSignature, ValueError) as error:
        raise NoteRefused(f"the signature of {key.name} is wrong") from error
