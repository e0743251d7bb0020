"""A card's life as a state machine: in whatever order things are done, tries, PIN and locks are as they must be."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from card_bridge.apdu.chain import channel_over
from card_bridge.piv.card import PivCard
from card_bridge.piv.errors import CardError, PinBlocked, PinIncorrect, PinRequired, PukBlocked, PukIncorrect
from card_bridge.piv.management import DEFAULT_KEY
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.virtual import MemoryStore, VirtualCard
from card_bridge.virtual.direct import DirectReader

PINS = st.sampled_from([b"123456", b"654321", b"11112222"])
PUKS = st.sampled_from([b"12345678", b"87654321"])


class CardLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.pin, self.puk = b"123456", b"12345678"
        self.pin_tries = self.puk_tries = 3
        self.power_up()
        self.card.authenticate_management(DEFAULT_KEY)
        for slot in (Slot.AUTHENTICATION, Slot.SIGNATURE):
            self.card.generate_key(slot, KeyAlgorithm.P_256)

    def power_up(self) -> None:
        self.card = PivCard(channel_over(DirectReader(VirtualCard(self.store))))
        self.verified = self.fresh = False

    @rule()
    def lose_power(self) -> None:
        self.power_up()

    @rule(pin=PINS)
    def verify(self, pin: bytes) -> None:
        expected = self._expect_pin(pin)
        try:
            self.card.verify_pin(bytearray(pin))
            assert expected is None
        except CardError as error:
            assert type(error) is expected
        self.verified = self.fresh = expected is None

    @rule(old=PINS, new=PINS)
    def change(self, old: bytes, new: bytes) -> None:
        was_blocked = not self.pin_tries
        expected = self._expect_pin(old)
        try:
            self.card.change_pin(bytearray(old), bytearray(new))
            assert expected is None
            self.pin = new
        except CardError as error:
            assert type(error) is expected
        if not was_blocked:
            self.verified = self.fresh = False

    @rule(puk=PUKS, new=PINS)
    def unblock(self, puk: bytes, new: bytes) -> None:
        expected = self._expect_puk(puk)
        try:
            self.card.unblock_pin(bytearray(puk), bytearray(new))
            assert expected is None
            self.pin, self.pin_tries = new, 3
            self.verified = self.fresh = False
        except CardError as error:
            assert type(error) is expected

    @rule(old=PUKS, new=PUKS)
    def change_puk(self, old: bytes, new: bytes) -> None:
        expected = self._expect_puk(old)
        try:
            self.card.change_puk(bytearray(old), bytearray(new))
            assert expected is None
            self.puk = new
        except CardError as error:
            assert type(error) is expected

    @rule(slot=st.sampled_from([Slot.AUTHENTICATION, Slot.SIGNATURE]))
    def sign(self, slot: Slot) -> None:
        allowed = self.verified if slot is Slot.AUTHENTICATION else self.fresh
        if allowed:
            assert len(self.card.sign(slot, bytes(32), SignatureAlgorithm.ES256)) == 64
            self.fresh = False
        else:
            with pytest.raises(PinRequired):
                self.card.sign(slot, bytes(32), SignatureAlgorithm.ES256)

    @precondition(lambda self: not self.verified)
    @invariant()
    def the_card_tells_the_tries_left(self) -> None:
        assert self.card.pin_tries_left() == self.pin_tries

    @invariant()
    def blocked_means_locked(self) -> None:
        assert not (self.verified and not self.pin_tries)

    def _expect_pin(self, pin: bytes) -> type[CardError] | None:
        if not self.pin_tries:
            return PinBlocked
        if pin == self.pin:
            self.pin_tries = 3
            return None
        self.pin_tries -= 1
        return PinIncorrect if self.pin_tries else PinBlocked

    def _expect_puk(self, puk: bytes) -> type[CardError] | None:
        if not self.puk_tries:
            return PukBlocked
        if puk == self.puk:
            self.puk_tries = 3
            return None
        self.puk_tries -= 1
        return PukIncorrect if self.puk_tries else PukBlocked


TestCardLife = CardLife.TestCase
TestCardLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
