"""When a card is pulled out in the middle of its work: for tests of what a bridge says then."""

from dataclasses import dataclass
from enum import StrEnum


class Moment(StrEnum):
    """Whether the card still did what the last command asked; its answer is lost either way."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(slots=True, kw_only=True)
class Removal:
    """Pull the card at one APDU: the `count`th of all, or the `count`th with this instruction.

    A removal is used once; put into a reader's plan again, it counts anew.
    """

    count: int = 1
    instruction: int | None = None
    moment: Moment = Moment.BEFORE

    def strikes(self, command: bytes) -> bool:
        """Whether it is this command. Commands that do not match are not counted."""
        if self.instruction is not None and command[1:2] != bytes((self.instruction,)):
            return False
        self.count -= 1
        return self.count == 0
