"""Commands to a card and its answers (ISO 7816-3 section 12.1, ISO 7816-4 section 5)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from card_bridge.apdu.errors import MalformedApdu
from card_bridge.apdu.status import OK, StatusWord

SHORT_DATA_LIMIT = 255
SHORT_ANSWER_LIMIT = 256
EXTENDED_DATA_LIMIT = 65_535
EXTENDED_ANSWER_LIMIT = 65_536


class Ins(IntEnum):
    """Instructions of ISO 7816 and SP 800-73-4, then those one vendor added."""

    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    RESET_RETRY_COUNTER = 0x2C
    GENERATE_KEY_PAIR = 0x47
    GENERAL_AUTHENTICATE = 0x87
    SELECT = 0xA4
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCB
    PUT_DATA = 0xDB

    METADATA = 0xF7
    SERIAL = 0xF8
    ATTEST = 0xF9
    SET_TRIES = 0xFA
    FACTORY_RESET = 0xFB
    VERSION = 0xFD
    IMPORT_KEY = 0xFE
    SET_MANAGEMENT_KEY = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandApdu:
    """One command. `ne` is how many octets of answer are wanted at most, 0 for none.

    `data` may hold a PIN, so it is in no `repr`; whoever filled it with a `bytearray` wipes that afterwards.
    """

    cla: int = 0
    ins: int
    p1: int = 0
    p2: int = 0
    data: bytes | bytearray = field(default=b"", repr=False)
    ne: int = 0
    extended: bool = False

    def __post_init__(self) -> None:
        if any(not 0 <= octet <= 0xFF for octet in (self.cla, self.ins, self.p1, self.p2)):
            raise MalformedApdu("a header octet is out of range")
        data_limit, answer_limit = (
            (EXTENDED_DATA_LIMIT, EXTENDED_ANSWER_LIMIT) if self.extended else (SHORT_DATA_LIMIT, SHORT_ANSWER_LIMIT)
        )
        if len(self.data) > data_limit or not 0 <= self.ne <= answer_limit:
            raise MalformedApdu(f"{len(self.data)} octets of data and {self.ne} of answer do not fit")

    @property
    def chained(self) -> bool:
        """Whether more commands of the same chain follow."""
        return bool(self.cla & 0x10)

    def encode(self) -> bytearray:
        """The command as it goes to the card. The caller wipes it if it holds a secret."""
        encoded = bytearray((self.cla, self.ins, self.p1, self.p2))
        if not self.data and not self.ne:
            return encoded
        if not self.extended:
            if self.data:
                encoded.append(len(self.data))
                encoded += self.data
            if self.ne:
                encoded.append(self.ne & 0xFF)
            return encoded
        encoded.append(0)
        if self.data:
            encoded += len(self.data).to_bytes(2, "big")
            encoded += self.data
        if self.ne:
            encoded += (self.ne & 0xFFFF).to_bytes(2, "big")
        return encoded

    @classmethod
    def parse(cls, octets: bytes | bytearray) -> Self:
        """The command that `octets` are, in exactly one of the seven forms. Raises: MalformedApdu."""
        if len(octets) < 4:
            raise MalformedApdu(f"a command of {len(octets)} octets")
        data, ne, extended = _body(bytes(octets[4:]))
        return cls(cla=octets[0], ins=octets[1], p1=octets[2], p2=octets[3], data=data, ne=ne, extended=extended)


def _body(body: bytes) -> tuple[bytes, int, bool]:
    """Data, Ne and whether the form is extended, of what follows the header."""
    if not body:
        return b"", 0, False
    if len(body) == 1:
        return b"", body[0] or SHORT_ANSWER_LIMIT, False
    if body[0]:
        data, trailer = body[1 : 1 + body[0]], body[1 + body[0] :]
        if len(data) < body[0] or len(trailer) > 1:
            raise MalformedApdu(f"Lc {body[0]} in a body of {len(body)} octets")
        return data, (trailer[0] or SHORT_ANSWER_LIMIT) if trailer else 0, False
    if len(body) < 3:
        raise MalformedApdu("an extended length is cut off")
    length = int.from_bytes(body[1:3], "big")
    if len(body) == 3:
        return b"", length or EXTENDED_ANSWER_LIMIT, True
    data, trailer = body[3 : 3 + length], body[3 + length :]
    if not length or len(data) < length or len(trailer) not in (0, 2):
        raise MalformedApdu(f"extended Lc {length} in a body of {len(body)} octets")
    return data, (int.from_bytes(trailer, "big") or EXTENDED_ANSWER_LIMIT) if trailer else 0, True


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseApdu:
    """One answer."""

    data: bytes = field(default=b"", repr=False)
    status: StatusWord = OK

    @property
    def ok(self) -> bool:
        return self.status == OK

    def encode(self) -> bytes:
        return self.data + self.status.to_bytes(2, "big")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Raises: MalformedApdu for fewer than two octets or more than an answer can hold."""
        if not 2 <= len(octets) <= EXTENDED_ANSWER_LIMIT + 2:
            raise MalformedApdu(f"an answer of {len(octets)} octets")
        return cls(data=octets[:-2], status=StatusWord.from_bytes(octets[-2:], "big"))
