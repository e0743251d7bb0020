"""What only the holder of the management key does: prove it, make keys, write objects, replace the key itself."""

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from card_bridge.apdu import status, tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import CommandApdu, Ins, ResponseApdu
from card_bridge.apdu.ports import Channel
from card_bridge.piv.answers import command, fault, send
from card_bridge.piv.errors import CardError, CardFault, ManagementKeyRefused
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, Slot
from card_bridge.piv.objects import ObjectTag
from card_bridge.piv.signing import CHALLENGE, RESPONSE, TEMPLATE, WITNESS, dynamic_authentication

KEY_REFERENCE: Final = 0x9B
DEFAULT_KEY: Final = bytes.fromhex("010203040506070801020304050607080102030405060708")
KEY_SIZES: Final = {
    AlgorithmReference.TRIPLE_DES: 24,
    AlgorithmReference.AES_128: 16,
    AlgorithmReference.AES_192: 24,
    AlgorithmReference.AES_256: 32,
}

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def block_cipher(algorithm: AlgorithmReference, key: bytes) -> Cipher[ECB]:
    """One block at a time, as the card's authentication protocol wants it. Raises: ValueError for a wrong length."""
    if len(key) != KEY_SIZES.get(algorithm):
        raise ValueError("a management key of another length")
    cipher = TripleDES(key) if algorithm is AlgorithmReference.TRIPLE_DES else AES(key)
    return Cipher(cipher, ECB())  # noqa: S305 - single random blocks: SP 800-73-4 part 2, appendix A.1


def block_size(algorithm: AlgorithmReference) -> int:
    return 8 if algorithm is AlgorithmReference.TRIPLE_DES else 16


def authenticate(channel: Channel, key: bytes, algorithm: AlgorithmReference, random: Callable[[int], bytes]) -> None:
    """Prove the management key to the card, and have the card prove it too.

    Raises: ManagementKeyRefused (wrong key, or the card speaks another algorithm); ValueError for a wrong length.
    """
    cipher = block_cipher(algorithm, key)
    witness = _exchange(channel, algorithm, tlv.Tlv(WITNESS), want=WITNESS)
    if len(witness) != block_size(algorithm):
        raise CardFault("a witness of another length")
    decryptor, encryptor = cipher.decryptor(), cipher.encryptor()
    proof = decryptor.update(witness)
    challenge = random(block_size(algorithm))
    answer = _exchange(channel, algorithm, tlv.Tlv(WITNESS, proof), tlv.Tlv(CHALLENGE, challenge), want=RESPONSE)
    if not hmac.compare_digest(answer, encryptor.update(challenge)):
        raise ManagementKeyRefused("the card does not know the management key")


def _exchange(channel: Channel, algorithm: AlgorithmReference, *objects: tlv.Tlv, want: int) -> bytes:
    template = tlv.encode(TEMPLATE, *objects)
    answer = send(channel, "management key", command(Ins.GENERAL_AUTHENTICATE, algorithm, KEY_REFERENCE, template))
    if not answer.ok:
        raise ManagementKeyRefused(f"{answer.status} {answer.status.meaning}")
    return dynamic_authentication(answer.data, want)


def generate_key(channel: Channel, slot: Slot, algorithm: KeyAlgorithm) -> PublicKey:
    """The public half of a key made on the card, which replaces the slot's earlier one.

    Raises: ManagementKeyRefused when it has not been proved, CardFault for an algorithm that the card lacks.
    """
    template = tlv.encode(0xAC, tlv.encode(0x80, bytes((algorithm.reference,))))
    answer = send(channel, "generate", command(Ins.GENERATE_KEY_PAIR, 0, slot.reference, template))
    _expect(answer, f"generate {algorithm} in {slot}")
    return parse_public_key(answer.data, algorithm)


def parse_public_key(data: bytes, algorithm: KeyAlgorithm) -> PublicKey:
    """The public key of an answer to GENERATE (7F49). Raises: CardFault for what is no key of this algorithm."""
    try:
        objects = tlv.parse(tlv.parse_only(data, 0x7F49))
        if algorithm is KeyAlgorithm.RSA_2048:
            modulus = int.from_bytes(tlv.find(objects, 0x81) or b"", "big")
            exponent = int.from_bytes(tlv.find(objects, 0x82) or b"", "big")
            if modulus.bit_length() != 2048:
                raise CardFault("a modulus of another length")
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        curve = ec.SECP256R1() if algorithm is KeyAlgorithm.P_256 else ec.SECP384R1()
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, tlv.find(objects, 0x86) or b"")
    except (MalformedTlv, ValueError) as error:
        raise CardFault("the generated public key is malformed") from error


def put_data(channel: Channel, tag: int, content: bytes) -> None:
    """Write an object, or empty it with no content. Raises: ManagementKeyRefused, CardFault."""
    if tag == ObjectTag.DISCOVERY:
        body = content
    else:
        body = tlv.encode(0x5C, tlv.encode_tag(tag)) + tlv.encode(0x53, content)
    _expect(send(channel, "put data", command(Ins.PUT_DATA, 0x3F, 0xFF, body)), f"put {tag:X}")


def set_management_key(channel: Channel, algorithm: AlgorithmReference, key: bytes) -> bool:
    """Replace the management key: True, or False for a card whose vendor gave it no command for that.

    Raises: ManagementKeyRefused, CardFault; ValueError for a wrong length.
    """
    if len(key) != KEY_SIZES.get(algorithm):
        raise ValueError("a management key of another length")
    body = bytearray((algorithm, KEY_REFERENCE, len(key))) + key
    answer = send(
        channel,
        "set management key",
        CommandApdu(ins=Ins.SET_MANAGEMENT_KEY, p1=0xFF, p2=0xFF, data=body),
    )
    if answer.status == status.INSTRUCTION_UNSUPPORTED:
        return False
    _expect(answer, "set management key")
    return True


def _expect(answer: ResponseApdu, step: str) -> None:
    if not answer.ok:
        raise _refusal(step, answer)


def _refusal(step: str, answer: ResponseApdu) -> CardError:
    if answer.status == status.SECURITY_STATUS_NOT_SATISFIED:
        return ManagementKeyRefused(f"{step}: the management key has not been proved")
    return fault(step, answer.status)
