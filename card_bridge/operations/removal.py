"""Tells a fault from a card that was pulled out: readers often report the first of the two, and the second later."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from card_bridge.piv.errors import CardError, CardFault, CardRemoved, NoCard, NoReader
from card_bridge.piv.ports import CardReaders

PATIENCE_S = 1.5
STEP_S = 0.1


@contextmanager
def removal_recognised(
    readers: CardReaders, reader: str, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Inside the block, whatever means that the card or its reader is gone becomes CardRemoved.

    A fault is held for a moment to see whether the reader then reports the card gone.
    """
    try:
        yield
    except (NoCard, NoReader) as error:
        raise CardRemoved(error.detail) from error
    except CardFault as error:
        for _ in range(round(PATIENCE_S / STEP_S)):
            if not _is_present(readers, reader):
                raise CardRemoved(error.detail) from error
            sleep(STEP_S)
        raise


def _is_present(readers: CardReaders, reader: str) -> bool:
    try:
        return any(state.name == reader and state.card_present for state in readers.list())
    except CardError:
        return False
