"""Private-key operations: what goes into GENERAL AUTHENTICATE, and what comes out (SP 800-73-4 part 2, s3.2.4)."""

from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from card_bridge.apdu import tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import Ins
from card_bridge.apdu.ports import Channel
from card_bridge.piv.answers import command, key_refusal, send
from card_bridge.piv.errors import CardFault
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, SignatureAlgorithm, Slot

RSA_2048_SIZE: Final = 256
SHA_256_DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_SHORTEST_PADDING: Final = 8
_CURVES: Final = {"secp256r1": KeyAlgorithm.P_256, "secp384r1": KeyAlgorithm.P_384}

TEMPLATE: Final = 0x7C
WITNESS: Final = 0x80
CHALLENGE: Final = 0x81
RESPONSE: Final = 0x82
EXPONENTIATION: Final = 0x85


def sign(channel: Channel, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
    """A raw signature over `digest`: r || s, or RSA PKCS#1 v1.5.

    Raises: PinRequired, CardNotPersonalised (no such key), CardFault; ValueError for a digest of another length.
    """
    if len(digest) != algorithm.digest_size:
        raise ValueError(f"{algorithm} signs {algorithm.digest_size} octets")
    kind = algorithm.key_algorithm
    block = pad_pkcs1_v15(digest) if kind is KeyAlgorithm.RSA_2048 else digest
    answer = use_private_key(channel, slot, kind.reference, CHALLENGE, block)
    if kind is KeyAlgorithm.RSA_2048:
        if len(answer) != RSA_2048_SIZE:
            raise CardFault("an RSA signature of another length")
        return answer
    return _raw_ecdsa(answer, kind.coordinate_size)


def pad_pkcs1_v15(digest: bytes) -> bytes:
    """The block that RSA-2048 raises to its private exponent, for a SHA-256 digest (RFC 8017 s9.2)."""
    info = SHA_256_DIGEST_INFO + digest
    return b"\x00\x01" + b"\xff" * (RSA_2048_SIZE - 3 - len(info)) + b"\x00" + info


def decrypt_rsa(channel: Channel, slot: Slot, ciphertext: bytes) -> bytes:
    """What was encrypted to the slot's RSA key with PKCS#1 v1.5 padding.

    Every wrong padding ends in the same CardFault. The text is not authenticated: never tell a stranger how it ended.
    """
    if len(ciphertext) != RSA_2048_SIZE:
        raise ValueError("not a ciphertext of RSA-2048")
    block = use_private_key(channel, slot, AlgorithmReference.RSA_2048, CHALLENGE, ciphertext)
    separator = block.find(b"\x00", 2)
    if len(block) != RSA_2048_SIZE or block[:2] != b"\x00\x02" or separator < 2 + _SHORTEST_PADDING:
        raise CardFault("decryption failed")
    return block[separator + 1 :]


def agree(channel: Channel, slot: Slot, peer: ec.EllipticCurvePublicKey) -> bytes:
    """ECDH of the slot's key with `peer`: the x coordinate, to be put through a KDF."""
    kind = _CURVES.get(peer.curve.name)
    if kind is None:
        raise ValueError("a curve that no card here has")
    point = peer.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    shared = use_private_key(channel, slot, kind.reference, EXPONENTIATION, point)
    if len(shared) != kind.coordinate_size:
        raise CardFault("a shared secret of another length")
    return shared


def use_private_key(channel: Channel, slot: Slot, algorithm: AlgorithmReference, tag: int, block: bytes) -> bytes:
    """What the slot's key makes of `block`, as the card gives it."""
    step = f"private key {slot}"
    template = tlv.encode(TEMPLATE, tlv.Tlv(RESPONSE), tlv.Tlv(tag, block))
    answer = send(channel, step, command(Ins.GENERAL_AUTHENTICATE, algorithm, slot.reference, template))
    if not answer.ok:
        raise key_refusal(step, answer.status)
    return dynamic_authentication(answer.data, RESPONSE)


def dynamic_authentication(data: bytes, tag: int) -> bytes:
    """The object `tag` inside the template 7C. Raises: CardFault."""
    try:
        value = tlv.find(tlv.parse(tlv.parse_only(data, TEMPLATE)), tag)
    except MalformedTlv as error:
        raise CardFault("a malformed authentication template") from error
    if value is None:
        raise CardFault(f"no {tag:02X} in the authentication template")
    return value


def _raw_ecdsa(der: bytes, size: int) -> bytes:
    try:
        r, s = decode_dss_signature(der)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    except (ValueError, OverflowError) as error:
        raise CardFault("a malformed ECDSA signature") from error
