"""The PIV application: what each instruction of SP 800-73-4 part 2 does, and what it answers when it does not.

Every mutation is saved before its effect is answered, and a PIN try is spent before the PIN is compared.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from card_bridge.apdu import status, tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import CommandApdu, Ins
from card_bridge.apdu.status import StatusWord
from card_bridge.piv.model import Slot
from card_bridge.piv.objects import AID, CERTIFICATES, ObjectTag, build_discovery
from card_bridge.virtual import authenticate, keys
from card_bridge.virtual.profile import CardProfile
from card_bridge.virtual.refusal import Refused
from card_bridge.virtual.state import CardState, Secret, SecurityStatus, StoredKey
from card_bridge.virtual.store import CardStore

RETIRED_KEYS: Final = range(0x82, 0x96)
KEY_REFERENCES: Final = {slot.reference for slot in Slot} | set(RETIRED_KEYS)
OBJECT_LIMIT: Final = 16_384
_RETIRED_CERTIFICATES: Final = range(0x5FC10D, 0x5FC121)
_BEHIND_PIN: Final = {ObjectTag.PRINTED_INFORMATION, ObjectTag.FINGERPRINTS, ObjectTag.FACE, ObjectTag.IRIS}
_WRITABLE: Final = (
    {ObjectTag.CHUID, ObjectTag.CCC, ObjectTag.KEY_HISTORY, 0x5FC106}
    | set(CERTIFICATES.values())
    | _BEHIND_PIN
    | set(_RETIRED_CERTIFICATES)
)
_PIN: Final = 0x80
_PUK: Final = 0x81
_FIELD: Final = 8


@dataclass(slots=True, kw_only=True)
class Applet:
    """The application and its memory. `process` answers data, or raises Refused with the status word."""

    profile: CardProfile
    state: CardState
    store: CardStore
    random: Callable[[int], bytes]
    security: SecurityStatus

    def process(self, command: CommandApdu) -> bytes:
        handler = _INSTRUCTIONS.get(command.ins)
        if handler is None:
            raise Refused(status.INSTRUCTION_UNSUPPORTED)
        try:
            return handler(self, command)
        finally:
            if not self.profile.vendor_extensions and command.ins != Ins.VERIFY:
                self.security.pin_fresh = False

    def selected(self) -> bytes:
        """The application property template."""
        return tlv.encode(
            0x61,
            tlv.encode(0x4F, AID[5:]),
            tlv.encode(0x79, tlv.encode(0x4F, AID[:5])),
            tlv.encode(0x50, b"Virtual PIV card"),
            tlv.encode(0xAC, *(tlv.encode(0x80, bytes((each,))) for each in (0x07, 0x11, 0x14)), tlv.encode(0x06)),
        )

    def save(self) -> None:
        self.store.save(self.state)

    # Data objects

    def get_data(self, command: CommandApdu) -> bytes:
        _expect_p1_p2(command, 0x3F, 0xFF)
        tag = int.from_bytes(_only(command.data, 0x5C), "big")
        if tag == ObjectTag.DISCOVERY:
            return self.state.objects.get(tag) or build_discovery()
        if tag in _BEHIND_PIN and not self.security.pin_verified:
            raise Refused(status.SECURITY_STATUS_NOT_SATISFIED)
        content = self.state.objects.get(tag)
        if content is None:
            raise Refused(status.NOT_FOUND)
        return tlv.encode(0x53, content)

    def put_data(self, command: CommandApdu) -> bytes:
        _expect_p1_p2(command, 0x3F, 0xFF)
        self.require_management()
        objects = _objects(command.data)
        if len(objects) == 1 and objects[0].tag == ObjectTag.DISCOVERY:
            self.state.objects[ObjectTag.DISCOVERY] = bytes(command.data)
            self.save()
            return b""
        if len(objects) != 2 or objects[0].tag != 0x5C or objects[1].tag != 0x53:
            raise Refused(status.INCORRECT_DATA)
        tag, content = int.from_bytes(objects[0].value, "big"), objects[1].value
        if tag not in _WRITABLE and not (self.profile.vendor_extensions and 0x5F0000 <= tag <= 0x5FFFFF):
            raise Refused(status.NOT_FOUND)
        if len(content) > OBJECT_LIMIT:
            raise Refused(status.NO_MEMORY)
        if content:
            self.state.objects[tag] = content
        else:
            self.state.objects.pop(tag, None)
        self.save()
        return b""

    # PIN and PUK

    def verify(self, command: CommandApdu) -> bytes:
        if command.p1 not in (0x00, 0xFF):
            raise Refused(status.INCORRECT_P1_P2)
        if command.p2 != _PIN:
            raise Refused(status.REFERENCE_NOT_FOUND)
        if command.p1 == 0xFF:
            if command.data:
                raise Refused(status.WRONG_LENGTH)
            self.security.forget_pin()
            return b""
        secret = self.state.pin
        if not command.data:
            if self.security.pin_verified:
                return b""
            raise Refused(status.tries(secret.tries_left) if secret.tries_left else status.AUTHENTICATION_BLOCKED)
        self.security.forget_pin()
        if not secret.tries_left:
            raise Refused(status.AUTHENTICATION_BLOCKED)
        presented = _field(command.data, 0, total=_FIELD)
        _expect_pin(presented)
        self._compare(secret, presented)
        self.security.pin_verified = self.security.pin_fresh = True
        return b""

    def change_reference_data(self, command: CommandApdu) -> bytes:
        if command.p1:
            raise Refused(status.INCORRECT_P1_P2)
        if command.p2 not in (_PIN, _PUK):
            raise Refused(status.REFERENCE_NOT_FOUND)
        secret = self.state.pin if command.p2 == _PIN else self.state.puk
        if not secret.tries_left:
            raise Refused(status.AUTHENTICATION_BLOCKED)
        old, new = (_field(command.data, place, total=2 * _FIELD) for place in (0, 1))
        if command.p2 == _PIN:
            _expect_pin(new)
            self.security.forget_pin()
        self._compare(secret, old)
        secret.replace(new)
        self.save()
        return b""

    def reset_retry_counter(self, command: CommandApdu) -> bytes:
        if command.p1:
            raise Refused(status.INCORRECT_P1_P2)
        if command.p2 != _PIN:
            raise Refused(status.REFERENCE_NOT_FOUND)
        if not self.state.puk.tries_left:
            raise Refused(status.AUTHENTICATION_BLOCKED)
        puk, new = (_field(command.data, place, total=2 * _FIELD) for place in (0, 1))
        _expect_pin(new)
        self._compare(self.state.puk, puk)
        self.security.forget_pin()
        self.state.pin.replace(new)
        self.save()
        return b""

    def _compare(self, secret: Secret, presented: bytes) -> None:
        """Raises: Refused (63Cx, 6983) after a try is spent for good."""
        secret.tries_left -= 1
        self.save()
        if not hmac.compare_digest(secret.value, presented):
            raise Refused(status.tries(secret.tries_left) if secret.tries_left else _blocked_now())
        secret.tries_left = secret.tries_total
        self.save()

    # Keys

    def generate_key_pair(self, command: CommandApdu) -> bytes:
        if command.p1 or command.p2 not in KEY_REFERENCES:
            raise Refused(status.INCORRECT_P1_P2)
        self.require_management()
        parameters = _objects(_only(command.data, 0xAC))
        algorithm = tlv.find(parameters, 0x80)
        if algorithm is None or len(algorithm) != 1:
            raise Refused(status.INCORRECT_DATA)
        stored = StoredKey(private_key=keys.generate(algorithm[0]))
        if self.profile.vendor_extensions:
            stored.pin_policy = int.from_bytes(tlv.find(parameters, 0xAA) or b"", "big")
            stored.touch_policy = int.from_bytes(tlv.find(parameters, 0xAB) or b"", "big")
        self.state.keys[command.p2] = stored
        self.save()
        return tlv.encode(0x7F49, keys.public_objects(stored.private_key))

    def general_authenticate(self, command: CommandApdu) -> bytes:
        return authenticate.general_authenticate(self.state, self.security, self.random, command)

    def require_management(self) -> None:
        if not self.security.management_proved:
            raise Refused(status.SECURITY_STATUS_NOT_SATISFIED)


def _blocked_now() -> StatusWord:
    """The last wrong try says 63C0; from then on the answer is 6983."""
    return status.tries(0)


def _expect_p1_p2(command: CommandApdu, p1: int, p2: int) -> None:
    if (command.p1, command.p2) != (p1, p2):
        raise Refused(status.INCORRECT_P1_P2)


def _field(data: bytes | bytearray, place: int, *, total: int) -> bytes:
    if len(data) != total:
        raise Refused(status.WRONG_LENGTH)
    return bytes(data[place * _FIELD : (place + 1) * _FIELD])


def _expect_pin(field: bytes) -> None:
    """Raises: Refused (6A80) unless 6 to 8 digits, padded with FF; no try is spent."""
    digits = field.rstrip(b"\xff")
    if len(digits) < 6 or not digits.isdigit():
        raise Refused(status.INCORRECT_DATA)


def _objects(data: bytes | bytearray) -> tuple[tlv.Tlv, ...]:
    try:
        return tlv.parse(bytes(data))
    except MalformedTlv as error:
        raise Refused(status.INCORRECT_DATA) from error


def _only(data: bytes | bytearray, tag: int) -> bytes:
    try:
        return tlv.parse_only(bytes(data), tag)
    except MalformedTlv as error:
        raise Refused(status.INCORRECT_DATA) from error


_INSTRUCTIONS: Final[dict[int, Callable[[Applet, CommandApdu], bytes]]] = {
    Ins.VERIFY: Applet.verify,
    Ins.CHANGE_REFERENCE_DATA: Applet.change_reference_data,
    Ins.RESET_RETRY_COUNTER: Applet.reset_retry_counter,
    Ins.GENERATE_KEY_PAIR: Applet.generate_key_pair,
    Ins.GENERAL_AUTHENTICATE: Applet.general_authenticate,
    Ins.GET_DATA: Applet.get_data,
    Ins.PUT_DATA: Applet.put_data,
}
