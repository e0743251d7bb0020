"""Status words as data: what SW1 SW2 says, for programs and for logs."""

from typing import Final


class StatusWord(int):
    """The last two octets of an answer."""

    __slots__ = ()

    @property
    def sw1(self) -> int:
        return self >> 8

    @property
    def sw2(self) -> int:
        return self & 0xFF

    @property
    def remaining(self) -> int | None:
        """How many octets GET RESPONSE may ask for at once (256 stands for 256 or more); None if none are left."""
        return (self.sw2 or 256) if self.sw1 == 0x61 else None

    @property
    def exact_length(self) -> int | None:
        """The Le the card wants instead of the one that was sent."""
        return (self.sw2 or 256) if self.sw1 == 0x6C else None

    @property
    def tries_left(self) -> int | None:
        """Tries left after a wrong or asked-for PIN or PUK; 0 for a blocked one."""
        if self == AUTHENTICATION_BLOCKED:
            return 0
        return self & 0x0F if self & 0xFFF0 == 0x63C0 else None

    @property
    def meaning(self) -> str:
        """A few words for a log."""
        if self.tries_left is not None and self != AUTHENTICATION_BLOCKED:
            return f"verification failed, {self.tries_left} tries left"
        if self.remaining is not None:
            return "more to come"
        return _MEANINGS.get(self, "unknown status")

    def __str__(self) -> str:
        return f"{self:04X}"

    def __repr__(self) -> str:
        return f"StatusWord({self:#06x})"


OK: Final = StatusWord(0x9000)
EXECUTION_ERROR: Final = StatusWord(0x6400)
MEMORY_FAILURE: Final = StatusWord(0x6581)
WRONG_LENGTH: Final = StatusWord(0x6700)
LOGICAL_CHANNEL_UNSUPPORTED: Final = StatusWord(0x6881)
SECURE_MESSAGING_UNSUPPORTED: Final = StatusWord(0x6882)
CHAINING_INCOMPLETE: Final = StatusWord(0x6883)
CHAINING_UNSUPPORTED: Final = StatusWord(0x6884)
SECURITY_STATUS_NOT_SATISFIED: Final = StatusWord(0x6982)
AUTHENTICATION_BLOCKED: Final = StatusWord(0x6983)
CONDITIONS_NOT_SATISFIED: Final = StatusWord(0x6985)
INCORRECT_DATA: Final = StatusWord(0x6A80)
FUNCTION_UNSUPPORTED: Final = StatusWord(0x6A81)
NOT_FOUND: Final = StatusWord(0x6A82)
NO_MEMORY: Final = StatusWord(0x6A84)
INCORRECT_P1_P2: Final = StatusWord(0x6A86)
REFERENCE_NOT_FOUND: Final = StatusWord(0x6A88)
WRONG_P1_P2: Final = StatusWord(0x6B00)
INSTRUCTION_UNSUPPORTED: Final = StatusWord(0x6D00)
CLASS_UNSUPPORTED: Final = StatusWord(0x6E00)
UNKNOWN_FAULT: Final = StatusWord(0x6F00)


def tries(count: int) -> StatusWord:
    """63Cx; more than 15 cannot be told and reads as 15."""
    return StatusWord(0x63C0 | min(count, 15))


def more(remaining: int) -> StatusWord:
    """61xx; 256 or more octets read as 6100."""
    return StatusWord(0x6100 | (remaining if remaining < 256 else 0))


_MEANINGS: Final = {
    OK: "done",
    EXECUTION_ERROR: "execution error",
    MEMORY_FAILURE: "memory failure",
    WRONG_LENGTH: "wrong length",
    LOGICAL_CHANNEL_UNSUPPORTED: "logical channel not supported",
    SECURE_MESSAGING_UNSUPPORTED: "secure messaging not supported",
    CHAINING_INCOMPLETE: "last command of the chain expected",
    CHAINING_UNSUPPORTED: "command chaining not supported",
    SECURITY_STATUS_NOT_SATISFIED: "security status not satisfied",
    AUTHENTICATION_BLOCKED: "authentication method blocked",
    CONDITIONS_NOT_SATISFIED: "conditions of use not satisfied",
    INCORRECT_DATA: "incorrect parameters in the data field",
    FUNCTION_UNSUPPORTED: "function not supported",
    NOT_FOUND: "file or application not found",
    NO_MEMORY: "not enough memory",
    INCORRECT_P1_P2: "incorrect P1 or P2",
    REFERENCE_NOT_FOUND: "referenced data not found",
    WRONG_P1_P2: "wrong P1 or P2",
    INSTRUCTION_UNSUPPORTED: "instruction not supported",
    CLASS_UNSUPPORTED: "class not supported",
    UNKNOWN_FAULT: "no precise diagnosis",
}
