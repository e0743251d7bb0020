"""What a checkpoint says about the tree (c2sp.org/tlog-checkpoint). Pure."""

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from ca_core.audit.errors import NoteRefused
from ca_core.audit.merkle import HASH_BYTES

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head: which log, how many entries, their root."""

    origin: str
    size: int
    root_hash: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root_hash).decode('ascii')}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The tree head in a note's text, without extension lines (ours has none). Raises: NoteRefused."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise NoteRefused("not a checkpoint")
    try:
        root_hash = b64decode(lines[2], validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoteRefused("not a checkpoint") from error
    found = Checkpoint(origin=lines[0], size=int(lines[1]), root_hash=root_hash)
    if len(root_hash) != HASH_BYTES or found.text != text:
        raise NoteRefused("not a checkpoint")
    return found
