"""Cards through PC/SC: pcscd on Linux, the system's own service elsewhere.

A connection is shared, and inside one transaction from its first octet to its last, so no other program comes between
VERIFY and the signature. When a PIN was presented the transaction ends with a reset of the card: the next program finds
it locked.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from card_bridge.apdu.chain import channel_over
from card_bridge.piv.card import PivCard
from card_bridge.piv.errors import CardError, CardFault, CardRemoved, NoCard, NoReader
from card_bridge.piv.model import ReaderState

Scard: TypeAlias = Any  # pyscard has no types; this module alone touches it

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
_STATUS_WORD_SIZE: Final = 2
# Readers are asked for their card every 0.4 s.
_REMOVAL_TOLD_MS: Final = 1_500
_SERVICE_GONE: Final = ("SCARD_E_NO_SERVICE", "SCARD_E_SERVICE_STOPPED")
_READER_GONE: Final = ("SCARD_E_UNKNOWN_READER", "SCARD_E_READER_UNAVAILABLE", "SCARD_E_NO_READERS_AVAILABLE")
_CARD_GONE: Final = ("SCARD_E_NO_SMARTCARD", "SCARD_W_REMOVED_CARD")


def _scard() -> Scard:
    """pyscard's bare functions. Raises: NoReader where pyscard or the PC/SC library is not installed."""
    try:
        from smartcard import scard
    except ImportError as error:
        raise NoReader("pyscard or the PC/SC library is not installed") from error
    return scard


class PcscReaders:
    """The readers that PC/SC knows (`card_bridge.piv.ports.CardReaders`)."""

    def list(self) -> Sequence[ReaderState]:
        scard = _scard()
        with _context(scard) as context:
            result, names = scard.SCardListReaders(context, [])
            if result == scard.SCARD_E_NO_READERS_AVAILABLE or (result == scard.SCARD_S_SUCCESS and not names):
                return []
            _expect(scard, "list readers", result)
            return [ReaderState(name=name, card_present=_card_present(scard, context, name)) for name in names]

    @contextmanager
    def connect(self, reader_name: str) -> Iterator[PivCard]:
        scard = _scard()
        with _context(scard) as context:
            transport = _connect(scard, context, reader_name)
            card: PivCard | None = None
            try:
                card = PivCard(channel_over(transport, t0=transport.protocol == scard.SCARD_PROTOCOL_T0))
                yield card
            finally:
                transport.close(reset=card is not None and card.pin_presented)


@dataclass(slots=True, kw_only=True)
class PcscTransport:
    """An open card (`card_bridge.apdu.ports.Transport`)."""

    scard: Scard
    context: int
    handle: int
    protocol: int
    reader_name: str

    def transmit(self, command: bytearray) -> bytes:
        octets = list(command)
        try:
            pci = self.scard.SCARD_PCI_T0 if self.protocol == self.scard.SCARD_PROTOCOL_T0 else self.scard.SCARD_PCI_T1
            result, answer = self.scard.SCardTransmit(self.handle, pci, octets)
        finally:
            octets.clear()
        if result != self.scard.SCARD_S_SUCCESS:
            raise self._interruption("transmit", result)
        if len(answer) < _STATUS_WORD_SIZE:
            # What some drivers, vpcd's among them, call success when the card has gone.
            raise self._interruption("transmit", self.scard.SCARD_F_COMM_ERROR)
        return bytes(answer)

    def begin(self) -> None:
        """Shut other programs out, also when one of them has just reset the card. Waits for one that is in."""
        for _ in range(_ATTEMPTS):
            result = self.scard.SCardBeginTransaction(self.handle)
            if result == self.scard.SCARD_S_SUCCESS:
                return
            if result != self.scard.SCARD_W_RESET_CARD:
                break
            protocols = self.scard.SCARD_PROTOCOL_T0 | self.scard.SCARD_PROTOCOL_T1
            result, self.protocol = self.scard.SCardReconnect(
                self.handle, self.scard.SCARD_SHARE_SHARED, protocols, self.scard.SCARD_LEAVE_CARD
            )
            if result != self.scard.SCARD_S_SUCCESS:
                break
        raise self._interruption("begin transaction", result)

    def close(self, *, reset: bool) -> None:
        """Let others in; with `reset` the card has forgotten the PIN by then. Never raises: the card may be gone."""
        leave, forget = self.scard.SCARD_LEAVE_CARD, self.scard.SCARD_RESET_CARD
        ended = self.scard.SCardEndTransaction(self.handle, forget if reset else leave)
        left = self.scard.SCardDisconnect(self.handle, leave)
        if self.scard.SCARD_S_SUCCESS not in (ended, left):
            log.debug("card connection did not close: %s", _name(self.scard, left))

    def _interruption(self, step: str, result: int) -> CardError:
        """Why the card no longer answers: gone, or at fault."""
        scard = self.scard
        gone = (*_CARD_GONE, *_READER_GONE, *_SERVICE_GONE, "SCARD_E_INVALID_HANDLE")
        if result in _codes(scard, gone):
            return CardRemoved(f"{step}: {_name(scard, result)}")
        try:
            if _card_goes(scard, self.context, self.reader_name):
                return CardRemoved(f"{step}: {_name(scard, result)}, and no card is left")
        except CardError:
            return CardRemoved(f"{step}: {_name(scard, result)}, and the reader is gone")
        return CardFault(f"{step}: {_name(scard, result)}")


@contextmanager
def _context(scard: Scard) -> Iterator[int]:
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    _expect(scard, "reach the reader service", result)
    try:
        yield context
    finally:
        scard.SCardReleaseContext(context)


def _connect(scard: Scard, context: int, reader_name: str) -> PcscTransport:
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    result, handle, protocol = scard.SCardConnect(context, reader_name, scard.SCARD_SHARE_SHARED, protocols)
    _expect(scard, "connect", result)
    transport = PcscTransport(scard=scard, context=context, handle=handle, protocol=protocol, reader_name=reader_name)
    try:
        transport.begin()
    except CardError:
        transport.close(reset=False)
        raise
    return transport


def _card_present(scard: Scard, context: int, reader_name: str) -> bool:
    result, states = scard.SCardGetStatusChange(context, 0, [(reader_name, scard.SCARD_STATE_UNAWARE)])
    _expect(scard, "reader state", result)
    return bool(states[0][1] & scard.SCARD_STATE_PRESENT)


def _card_goes(scard: Scard, context: int, reader_name: str) -> bool:
    """Whether the reader says that its card is gone. The failed command may come before that word: wait for it."""
    deadline = time.monotonic() + _REMOVAL_TOLD_MS / 1_000
    known = scard.SCARD_STATE_UNAWARE
    while (left_ms := int((deadline - time.monotonic()) * 1_000)) > 0:
        result, states = scard.SCardGetStatusChange(context, left_ms, [(reader_name, known)])
        if result == scard.SCARD_E_TIMEOUT:
            break
        _expect(scard, "reader state", result)
        known = states[0][1]
        if not known & scard.SCARD_STATE_PRESENT:
            return True
    return False


def _expect(scard: Scard, step: str, result: int) -> None:
    """Raises: the error that a failed call before the first APDU stands for."""
    if result == scard.SCARD_S_SUCCESS:
        return
    detail = f"{step}: {_name(scard, result)}"
    families: tuple[tuple[Sequence[str], Callable[[str], CardError]], ...] = (
        (_SERVICE_GONE, lambda text: NoReader(f"{text}: the smart card service (pcscd) is not running")),
        (_READER_GONE, NoReader),
        (_CARD_GONE, NoCard),
    )
    for names, error in families:
        if result in _codes(scard, names):
            raise error(detail)
    raise CardFault(detail)


def _codes(scard: Scard, names: Sequence[str]) -> set[int]:
    return {getattr(scard, name) for name in names}


def _name(scard: Scard, result: int) -> str:
    text = str(scard.SCardGetErrorMessage(result)).strip().rstrip(".")
    return f"{text} (0x{result & 0xFFFFFFFF:08X})"
