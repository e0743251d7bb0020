"""A PIV card in the station.

What a loss of power leaves is told apart by the card itself: the card number is written before anything else, so a card
that bears the order's number is an unfinished one, and the management key is replaced after everything else, so a card
that still opens with the factory's key is not finished.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from card_bridge.personalisation.model import NEVER, FactorySecrets, Order
from card_bridge.piv.card import PivCard
from card_bridge.piv.card_number import guid_of
from card_bridge.piv.errors import (
    AlreadyPersonalised,
    CardError,
    CardFault,
    ManagementKeyRefused,
    NoCard,
    NoReader,
    PinIncorrect,
    PukIncorrect,
    WriteNotConfirmed,
)
from card_bridge.piv.management import KEY_REFERENCE, PublicKey
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, ReaderState, SignatureAlgorithm, Slot
from card_bridge.piv.objects import CERTIFICATES, Chuid, ObjectTag, build_ccc, build_certificate, build_discovery
from card_bridge.piv.pin import PIN_REFERENCE, PUK_REFERENCE

_POLL_S = 0.1
_NEW_KEY_ALGORITHMS = {
    16: (AlgorithmReference.AES_128,),
    24: (AlgorithmReference.AES_192, AlgorithmReference.TRIPLE_DES),
    32: (AlgorithmReference.AES_256,),
}


class PivReaders(Protocol):
    """Readers whose cards are PIV cards throughout, not only where the bridge's port needs them to be."""

    def list(self) -> Sequence[ReaderState]: ...

    def connect(self, reader_name: str) -> AbstractContextManager[PivCard]: ...


class ReaderBench:
    """A card in a reader: the named one, or the only one that has a card in it.

    patience_s: how long a card may take to be noticed; readers are asked for theirs every 0.4 s.
    """

    def __init__(
        self, readers: PivReaders, reader_name: str | None, factory: FactorySecrets, *, patience_s: float = 0.0
    ) -> None:
        self._readers = readers
        self._reader_name = reader_name
        self._factory = factory
        self._patience_s = patience_s

    @contextmanager
    def take(self) -> Iterator["PivWorkpiece"]:
        self._await_card()
        with self._readers.connect(self._reader_name or self._only_reader()) as card:
            yield PivWorkpiece(card, self._factory)

    def _await_card(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            if any(reader.card_present and reader.is_meant_by(self._reader_name) for reader in self._readers.list()):
                return
            time.sleep(_POLL_S)

    def _only_reader(self) -> str:
        readers = self._readers.list()
        if not readers:
            raise NoReader("no reader is connected")
        filled = [reader.name for reader in readers if reader.card_present]
        if not filled:
            raise NoCard("no reader has a card in it")
        if len(filled) > 1:
            raise CardFault("several readers have a card in them: name the reader")
        return filled[0]


class PivWorkpiece:
    """One connection to a card (`card_bridge.personalisation.ports.Workpiece`)."""

    def __init__(self, card: PivCard, factory: FactorySecrets) -> None:
        self._card = card
        self._factory = factory

    def card_number(self) -> str | None:
        return self._card.card_number()

    def prepare(self, order: Order) -> None:
        chuid = self._card.chuid()
        claimed = self._card.card_number()
        resumed = claimed == order.card_number
        certified = [slot for slot in CERTIFICATES if self._card.certificate(slot) is not None]
        if not order.again and (claimed not in (None, order.card_number) or (not resumed and chuid and certified)):
            raise AlreadyPersonalised("the card belongs to another number or issuer")
        opened_by_factory_key = self._authenticate(order)
        finished = resumed and all(slot in certified for slot in order.keys)
        if finished and not order.again and not (opened_by_factory_key and self._has_replaceable_key()):
            raise AlreadyPersonalised("the card is finished")
        for slot in certified:
            self._card.put_data(CERTIFICATES[slot], b"")
        self._card.put_data(ObjectTag.CHUID, Chuid(guid=guid_of(order.card_number), expires=NEVER).build())
        self._card.put_data(ObjectTag.CCC, build_ccc(guid_of(order.card_number)))
        self._offer_discovery()
        self._set_pin(order, resumed=resumed)
        self._set_puk(order, resumed=resumed)

    def make_key(self, slot: Slot, algorithm: KeyAlgorithm) -> PublicKey:
        return self._card.generate_key(slot, algorithm)

    def sign(self, order: Order, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        self._card.verify_pin(bytearray(order.pin))
        return self._card.sign(slot, digest, algorithm)

    def open_for_writing(self, order: Order) -> None:
        self._authenticate(order)

    def write_certificate(self, slot: Slot, der: bytes) -> None:
        self._card.put_data(CERTIFICATES[slot], build_certificate(der))

    def certificate(self, slot: Slot) -> bytes | None:
        return self._card.certificate(slot)

    def finish(self, order: Order) -> bool:
        refusal: CardError | None = None
        for algorithm in _NEW_KEY_ALGORITHMS[len(order.management_key)]:
            try:
                replaced = self._card.set_management_key(algorithm, order.management_key)
            except CardFault as error:
                refusal = error
                continue
            if replaced and self._card.authenticate_management(order.management_key) is not algorithm:
                raise WriteNotConfirmed("the management key")
            return replaced
        raise refusal or CardFault("no algorithm for the management key")

    def _authenticate(self, order: Order) -> bool:
        """Whether it was the factory's key that opened the card, not the order's. Raises: ManagementKeyRefused."""
        try:
            self._card.authenticate_management(self._factory.management_key)
            return True
        except ManagementKeyRefused:
            self._card.authenticate_management(order.management_key)
            return False

    def _has_replaceable_key(self) -> bool:
        """Whether an untouched management key means an unfinished card: on cards that can replace theirs."""
        return self._card.metadata(KEY_REFERENCE) is not None

    def _offer_discovery(self) -> None:
        """Cards that build this object themselves refuse to have it written; that is no fault."""
        if self._card.discovery() is None:
            self._card.put_data(ObjectTag.DISCOVERY, build_discovery())

    def _set_pin(self, order: Order, *, resumed: bool) -> None:
        def change() -> None:
            self._card.change_pin(bytearray(self._factory.pin), bytearray(order.pin))

        def confirm() -> None:
            self._card.verify_pin(bytearray(order.pin))

        self._either(change, confirm, PIN_REFERENCE, PinIncorrect, confirm_first=resumed)

    def _set_puk(self, order: Order, *, resumed: bool) -> None:
        def change() -> None:
            self._card.change_puk(bytearray(self._factory.puk), bytearray(order.puk))

        def confirm() -> None:
            self._card.change_puk(bytearray(order.puk), bytearray(order.puk))

        self._either(change, confirm, PUK_REFERENCE, PukIncorrect, confirm_first=resumed)

    def _either(
        self,
        change: Callable[[], None],
        confirm: Callable[[], None],
        reference: int,
        refusal: type[CardError],
        *,
        confirm_first: bool,
    ) -> None:
        """Change from the factory's secret, or confirm that an earlier attempt did, at the cost of one try at most."""
        told = self._card.metadata(reference)
        if told is not None and told.is_default is not None:
            (change if told.is_default else confirm)()
            return
        first, second = (confirm, change) if confirm_first else (change, confirm)
        try:
            first()
        except refusal:
            second()
