"""A virtual card as its contacts see it: power, reset, and octets in and out (ISO 7816-4)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from card_bridge.apdu import status
from card_bridge.apdu.errors import MalformedApdu
from card_bridge.apdu.model import SHORT_ANSWER_LIMIT, CommandApdu, Ins, ResponseApdu
from card_bridge.piv.objects import AID
from card_bridge.virtual import vendor
from card_bridge.virtual.applet import OBJECT_LIMIT, Applet
from card_bridge.virtual.profile import VENDOR_CARD, CardProfile
from card_bridge.virtual.refusal import Refused
from card_bridge.virtual.state import SecurityStatus
from card_bridge.virtual.store import CardStore, MemoryStore, load_or_make

_CHAIN: Final = 0x10
_CHAIN_LIMIT: Final = OBJECT_LIMIT + 64
_CHAINABLE: Final = {Ins.GENERAL_AUTHENTICATE, Ins.PUT_DATA, Ins.GENERATE_KEY_PAIR, Ins.IMPORT_KEY}
_SHORTEST_AID: Final = 5


@dataclass(slots=True)
class _Exchange:
    """What the card keeps between two commands."""

    command: CommandApdu | None = None
    collected: bytearray = field(default_factory=bytearray)
    pending: bytes = b""


class VirtualCard:
    """One card. `transmit` never raises for anything that a reader may send.

    profile: how a new card leaves the factory; an older one keeps its vendor's extensions or goes on without.
    """

    def __init__(
        self,
        store: CardStore | None = None,
        profile: CardProfile = VENDOR_CARD,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        store = store or MemoryStore()
        state = load_or_make(store, profile, random)
        self.profile = replace(profile, vendor_extensions=state.vendor_extensions)
        self._applet = Applet(
            profile=self.profile,
            state=state,
            store=store,
            random=random,
            security=SecurityStatus(),
        )
        self._selected = False
        self._exchange = _Exchange()

    @property
    def atr(self) -> bytes:
        return self.profile.atr

    def reset(self) -> None:
        """What loss of power and a reset do: everything that is not in permanent memory is gone."""
        self._applet.security = SecurityStatus()
        self._selected = False
        self._exchange = _Exchange()

    def transmit(self, octets: bytes | bytearray) -> bytes:
        """The answer to one APDU."""
        try:
            command = CommandApdu.parse(octets)
        except MalformedApdu:
            return ResponseApdu(status=status.WRONG_LENGTH).encode()
        try:
            return self._answer(command).encode()
        except Refused as refusal:
            self._exchange = _Exchange()
            return ResponseApdu(status=refusal.status).encode()

    def _answer(self, command: CommandApdu) -> ResponseApdu:
        _expect_class(command.cla)
        if command.ins == Ins.GET_RESPONSE:
            return self._next_part(command)
        self._exchange.pending = b""
        whole = self._collect(command)
        if whole is None:
            return ResponseApdu()
        return self._part(self._process(whole), whole)

    def _collect(self, command: CommandApdu) -> CommandApdu | None:
        """The command with the data of its whole chain; None while more is to follow."""
        started = self._exchange.command
        if started is not None and _header(started) != _header(command):
            self._exchange = _Exchange()
            raise Refused(status.CHAINING_INCOMPLETE)
        if command.chained and command.ins not in _CHAINABLE:
            raise Refused(status.CHAINING_UNSUPPORTED)
        if started is None and not command.chained:
            return command
        collected = self._exchange.collected
        collected += command.data
        if len(collected) > _CHAIN_LIMIT:
            raise Refused(status.WRONG_LENGTH)
        if command.chained:
            self._exchange.command = command
            return None
        self._exchange = _Exchange()
        return replace(command, data=bytes(collected), extended=True)

    def _process(self, command: CommandApdu) -> bytes:
        if command.ins == Ins.SELECT:
            return self._select(command)
        if not self._selected:
            raise Refused(status.INSTRUCTION_UNSUPPORTED)
        if self.profile.vendor_extensions:
            answer = vendor.process(self._applet, command)
            if answer is not None:
                return answer
        return self._applet.process(command)

    def _select(self, command: CommandApdu) -> bytes:
        """By name. An unknown one leaves the selected application and its security status as they are."""
        if command.p1 != 0x04 or command.p2 not in (0x00, 0x0C):
            raise Refused(status.NOT_FOUND)
        if len(command.data) < _SHORTEST_AID or not AID.startswith(bytes(command.data)):
            raise Refused(status.NOT_FOUND)
        self._selected = True
        return self._applet.selected() if command.p2 == 0x00 else b""

    def _part(self, data: bytes, command: CommandApdu) -> ResponseApdu:
        """As much of the answer as was asked for; T=0 cannot ask beside data, T=1 without Le gets a short answer."""
        wanted = command.ne
        if self.profile.t0 and command.data:
            wanted = 0
        elif not wanted:
            wanted = SHORT_ANSWER_LIMIT
        sent, self._exchange.pending = data[:wanted], data[wanted:]
        left = len(self._exchange.pending)
        return ResponseApdu(data=sent, status=status.more(left) if left else status.OK)

    def _next_part(self, command: CommandApdu) -> ResponseApdu:
        if command.p1 or command.p2:
            raise Refused(status.INCORRECT_P1_P2)
        pending = self._exchange.pending
        if not pending:
            raise Refused(status.CONDITIONS_NOT_SATISFIED)
        wanted = command.ne or SHORT_ANSWER_LIMIT
        sent, self._exchange.pending = pending[:wanted], pending[wanted:]
        left = len(self._exchange.pending)
        return ResponseApdu(data=sent, status=status.more(left) if left else status.OK)


def _header(command: CommandApdu) -> tuple[int, int, int]:
    return command.ins, command.p1, command.p2


def _expect_class(cla: int) -> None:
    if cla & 0xE0:
        raise Refused(status.CLASS_UNSUPPORTED)
    if cla & 0x0C:
        raise Refused(status.SECURE_MESSAGING_UNSUPPORTED)
    if cla & 0x03:
        raise Refused(status.LOGICAL_CHANNEL_UNSUPPORTED)
