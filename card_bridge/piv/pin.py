"""PIN and PUK: in bytearrays, wiped after use, never sent when they cannot be right.

The tries left are data in the error. No error, log or `repr` holds a PIN.
"""

from card_bridge.apdu import status
from card_bridge.apdu.model import CommandApdu, Ins, ResponseApdu
from card_bridge.apdu.ports import Channel
from card_bridge.piv.answers import fault, send
from card_bridge.piv.errors import PinBlocked, PinIncorrect, PinMalformed, PukBlocked, PukIncorrect

FIELD_SIZE = 8
PIN_REFERENCE = 0x80
PUK_REFERENCE = 0x81
_SHORTEST = 6


def wipe(secret: bytearray) -> None:
    """Overwrite a secret in place."""
    secret[:] = bytes(len(secret))


def check_pin(pin: bytearray) -> None:
    """Raises: PinMalformed unless `pin` is 6 to 8 digits."""
    if not _SHORTEST <= len(pin) <= FIELD_SIZE or not all(0x30 <= octet <= 0x39 for octet in pin):
        raise PinMalformed(detail="a PIN is 6 to 8 digits; it was not sent, no try was spent")


def check_puk(puk: bytearray) -> None:
    """Raises: PukIncorrect unless `puk` is 1 to 8 octets, which may be any."""
    if not 0 < len(puk) <= FIELD_SIZE:
        raise PukIncorrect(detail="a PUK is 1 to 8 characters; it was not sent, no try was spent")


def pin_tries_left(channel: Channel) -> int | None:
    """Tries left, 0 when blocked; None if the PIN is verified now, which hides the count, or the card does not say."""
    return send(channel, "tries left", CommandApdu(ins=Ins.VERIFY, p2=PIN_REFERENCE)).status.tries_left


def verify_pin(channel: Channel, pin: bytearray) -> None:
    """Unlock the keys; `pin` is wiped. Raises: PinIncorrect, PinMalformed, PinBlocked."""
    try:
        check_pin(pin)
        answer = _send_secrets(channel, Ins.VERIFY, PIN_REFERENCE, pin)
    finally:
        wipe(pin)
    _refuse_pin(answer)


def change_pin(channel: Channel, old: bytearray, new: bytearray) -> None:
    """Set another PIN; both are wiped. Raises: PinIncorrect (old), PinMalformed, PinBlocked."""
    try:
        check_pin(old)
        check_pin(new)
        answer = _send_secrets(channel, Ins.CHANGE_REFERENCE_DATA, PIN_REFERENCE, old, new)
    finally:
        wipe(old)
        wipe(new)
    _refuse_pin(answer)


def change_puk(channel: Channel, old: bytearray, new: bytearray) -> None:
    """Set another PUK; both are wiped. Raises: PukIncorrect (old), PukBlocked."""
    try:
        check_puk(old)
        check_puk(new)
        answer = _send_secrets(channel, Ins.CHANGE_REFERENCE_DATA, PUK_REFERENCE, old, new)
    finally:
        wipe(old)
        wipe(new)
    _refuse_puk(answer)


def unblock_pin(channel: Channel, puk: bytearray, new_pin: bytearray) -> None:
    """Set a new PIN with the PUK, also when the PIN is blocked; both are wiped. Raises: PukIncorrect, PukBlocked."""
    try:
        check_puk(puk)
        check_pin(new_pin)
        answer = _send_secrets(channel, Ins.RESET_RETRY_COUNTER, PIN_REFERENCE, puk, new_pin)
    finally:
        wipe(puk)
        wipe(new_pin)
    _refuse_puk(answer)


def _send_secrets(channel: Channel, instruction: Ins, reference: int, *secrets: bytearray) -> ResponseApdu:
    """Each secret in a field of eight octets, filled up with FF, and the fields wiped afterwards."""
    fields = bytearray(b"\xff" * (FIELD_SIZE * len(secrets)))
    for place, secret in enumerate(secrets):
        fields[place * FIELD_SIZE : place * FIELD_SIZE + len(secret)] = secret
    try:
        return send(channel, instruction.name, CommandApdu(ins=instruction, p2=reference, data=fields))
    finally:
        wipe(fields)


def _refuse_pin(answer: ResponseApdu) -> None:
    if answer.ok:
        return
    tries_left = answer.status.tries_left
    if tries_left == 0:
        raise PinBlocked(str(answer.status))
    if tries_left is not None:
        raise PinIncorrect(tries_left)
    if answer.status == status.INCORRECT_DATA:
        raise PinMalformed(detail="the card does not take a PIN of this form; no try was spent")
    raise fault("PIN", answer.status)


def _refuse_puk(answer: ResponseApdu) -> None:
    if answer.ok:
        return
    tries_left = answer.status.tries_left
    if tries_left == 0:
        raise PukBlocked(str(answer.status))
    if tries_left is not None:
        raise PukIncorrect(tries_left)
    if answer.status == status.INCORRECT_DATA:
        raise PinMalformed(detail="the card does not take a PIN or PUK of this form; no try was spent")
    raise fault("PUK", answer.status)
