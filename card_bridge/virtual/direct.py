"""Virtual cards reached by function call, with no reader service between: for tests that need no socket."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from card_bridge.apdu.chain import channel_over
from card_bridge.piv.card import PivCard
from card_bridge.piv.errors import CardRemoved, NoCard, NoReader
from card_bridge.piv.model import ReaderState
from card_bridge.virtual.card import VirtualCard
from card_bridge.virtual.faults import Moment, Removal


@dataclass(slots=True)
class DirectReader:
    """One reader, with or without a card; `plan` pulls the card out in the middle of its work."""

    card: VirtualCard | None = None
    plan: Removal | None = None
    sent: list[bytes] = field(default_factory=list, repr=False)

    def transmit(self, command: bytearray) -> bytes:
        """The card's answer (`card_bridge.apdu.ports.Transport`). Raises: CardRemoved."""
        octets = bytes(command)
        self.sent.append(octets)
        if self.card is None:
            raise CardRemoved("no card is left")
        if self.plan is not None and self.plan.strikes(octets):
            if self.plan.moment is Moment.AFTER:
                self.card.transmit(octets)
            self.card.reset()
            self.card = self.plan = None
            raise CardRemoved("pulled out")
        return self.card.transmit(octets)


class DirectReaders:
    """Readers by name (`card_bridge.piv.ports.CardReaders`)."""

    def __init__(self, **readers: DirectReader) -> None:
        self.readers = readers

    def list(self) -> Sequence[ReaderState]:
        return [ReaderState(name=name, card_present=one.card is not None) for name, one in self.readers.items()]

    @contextmanager
    def connect(self, reader_name: str) -> Iterator[PivCard]:
        reader = self.readers.get(reader_name)
        if reader is None:
            raise NoReader(reader_name)
        card = reader.card
        if card is None:
            raise NoCard(reader_name)
        try:
            yield PivCard(channel_over(reader, t0=card.profile.t0))
        finally:
            card.reset()
