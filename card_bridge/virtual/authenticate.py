"""GENERAL AUTHENTICATE: the private keys at work, and the proof of the management key (SP 800-73-4 part 2, s3.2.4)."""

import hmac
from collections.abc import Callable
from typing import Final

from card_bridge.apdu import status, tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import CommandApdu
from card_bridge.piv.management import KEY_REFERENCE, block_cipher, block_size
from card_bridge.piv.model import AlgorithmReference, Slot
from card_bridge.piv.signing import CHALLENGE, EXPONENTIATION, RESPONSE, TEMPLATE, WITNESS
from card_bridge.virtual import keys
from card_bridge.virtual.refusal import Refused
from card_bridge.virtual.state import CardState, SecurityStatus, StoredKey

PIN_NEVER: Final = 1
PIN_ONCE: Final = 2
PIN_ALWAYS: Final = 3


def general_authenticate(
    state: CardState, security: SecurityStatus, random: Callable[[int], bytes], command: CommandApdu
) -> bytes:
    """The answer's template. Raises: Refused."""
    if command.p2 == KEY_REFERENCE:
        return _management(state, security, random, command)
    stored = state.keys.get(command.p2)
    if stored is None:
        known = command.p2 in {slot.reference for slot in Slot} or 0x82 <= command.p2 <= 0x95
        raise Refused(status.REFERENCE_NOT_FOUND if known else status.INCORRECT_P1_P2)
    if command.p1 != keys.algorithm_of(stored.private_key):
        raise Refused(status.INCORRECT_P1_P2)
    objects = _template(command.data)
    _require_pin(security, command.p2, stored)
    block, point = objects.get(CHALLENGE), objects.get(EXPONENTIATION)
    if objects.get(RESPONSE) != b"" or (block is None) == (point is None):
        raise Refused(status.INCORRECT_DATA)
    security.pin_fresh = False
    if block is not None:
        result = keys.private_operation(stored.private_key, block)
    else:
        result = keys.agree(stored.private_key, point or b"")
    return tlv.encode(TEMPLATE, tlv.Tlv(RESPONSE, result))


def pin_policy(reference: int, stored: StoredKey) -> int:
    """The vendor's policy of the key, or the standard's for its place: 9C always, 9E never, the others once."""
    if stored.pin_policy:
        return stored.pin_policy
    return {0x9C: PIN_ALWAYS, 0x9E: PIN_NEVER}.get(reference, PIN_ONCE)


def _require_pin(security: SecurityStatus, reference: int, stored: StoredKey) -> None:
    policy = pin_policy(reference, stored)
    satisfied = {PIN_NEVER: True, PIN_ONCE: security.pin_verified, PIN_ALWAYS: security.pin_fresh}
    if not satisfied.get(policy, False):
        raise Refused(status.SECURITY_STATUS_NOT_SATISFIED)


def _management(
    state: CardState, security: SecurityStatus, random: Callable[[int], bytes], command: CommandApdu
) -> bytes:
    """Witness and challenge, one step a command; a step out of order forgets the earlier ones."""
    if _management_algorithm(command.p1) is not state.management_algorithm:
        raise Refused(status.INCORRECT_P1_P2)
    size = block_size(state.management_algorithm)
    cipher = block_cipher(state.management_algorithm, state.management_key)
    objects = _template(command.data)
    witness, challenge = security.witness, security.challenge
    security.witness = security.challenge = None
    match objects:
        case {0x80: b""}:
            security.witness = random(size)
            encrypted = cipher.encryptor().update(security.witness)
            return tlv.encode(TEMPLATE, tlv.Tlv(WITNESS, encrypted))
        case {0x80: proof, 0x81: asked} if witness is not None:
            if len(asked) != size or not hmac.compare_digest(witness, proof):
                raise _not_proved(security)
            security.management_proved = True
            return tlv.encode(TEMPLATE, tlv.Tlv(RESPONSE, cipher.encryptor().update(asked)))
        case {0x81: b""}:
            security.challenge = random(size)
            return tlv.encode(TEMPLATE, tlv.Tlv(CHALLENGE, security.challenge))
        case {0x82: proof} if challenge is not None:
            if not hmac.compare_digest(cipher.encryptor().update(challenge), proof):
                raise _not_proved(security)
            security.management_proved = True
            return b""
        case _:
            raise Refused(status.INCORRECT_DATA)


def _not_proved(security: SecurityStatus) -> Refused:
    security.management_proved = False
    return Refused(status.SECURITY_STATUS_NOT_SATISFIED)


def _management_algorithm(reference: int) -> AlgorithmReference:
    """P1, where 00 stands for 3DES too."""
    try:
        return AlgorithmReference(reference or AlgorithmReference.TRIPLE_DES)
    except ValueError as error:
        raise Refused(status.INCORRECT_P1_P2) from error


def _template(data: bytes | bytearray) -> dict[int, bytes]:
    try:
        objects = tlv.parse(tlv.parse_only(bytes(data), TEMPLATE))
    except MalformedTlv as error:
        raise Refused(status.INCORRECT_DATA) from error
    if len({each.tag for each in objects}) != len(objects):
        raise Refused(status.INCORRECT_DATA)
    return {each.tag: each.value for each in objects}
