"""A PIV card over a channel: the port's methods, and what personalisation and support need besides."""

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from card_bridge.apdu import status, tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import SHORT_ANSWER_LIMIT, CommandApdu, Ins
from card_bridge.apdu.ports import Channel
from card_bridge.piv import management, pin, signing, vendor
from card_bridge.piv.answers import command, fault, send
from card_bridge.piv.card_number import parse_guid
from card_bridge.piv.errors import CardFault, ManagementKeyRefused, PinMalformed, WrongCard
from card_bridge.piv.management import KEY_SIZES, PublicKey
from card_bridge.piv.model import AlgorithmReference, KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.piv.objects import AID_PREFIX, CERTIFICATES, Chuid, Discovery, ObjectTag, parse_certificate

_ABSENT = {status.NOT_FOUND, status.REFERENCE_NOT_FOUND}


class PivCard:
    """The PIV application of the card at the other end of `channel`, selected when this is made.

    Raises on construction: WrongCard for a card without that application.
    """

    def __init__(self, channel: Channel, random: Callable[[int], bytes] = os.urandom) -> None:
        self._channel = channel
        self._random = random
        self.pin_presented = False
        self._select()

    def _select(self) -> None:
        request = CommandApdu(ins=Ins.SELECT, p1=0x04, data=AID_PREFIX, ne=SHORT_ANSWER_LIMIT)
        answer = send(self._channel, "select", request)
        if not answer.ok:
            raise WrongCard(f"no PIV application: {answer.status} {answer.status.meaning}")

    # What the port promises

    def card_number(self) -> str | None:
        chuid = self.chuid()
        return parse_guid(chuid.guid) if chuid else None

    def certificate(self, slot: Slot) -> bytes | None:
        content = self.get_data(CERTIFICATES[slot])
        return None if content is None else parse_certificate(content)

    def pin_tries_left(self) -> int | None:
        return pin.pin_tries_left(self._channel)

    def verify_pin(self, pin_octets: bytearray) -> None:
        try:
            pin.verify_pin(self._channel, pin_octets)
        except PinMalformed as error:
            raise PinMalformed(self.pin_tries_left(), error.detail) from None
        self.pin_presented = True

    def sign(self, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        return signing.sign(self._channel, slot, digest, algorithm)

    # Decryption

    def agree(self, slot: Slot, peer: ec.EllipticCurvePublicKey) -> bytes:
        """The x coordinate of ECDH with `peer`; goes through a KDF before use."""
        return signing.agree(self._channel, slot, peer)

    def decrypt_rsa(self, slot: Slot, ciphertext: bytes) -> bytes:
        """The text under PKCS#1 v1.5 padding; every failure is the same CardFault."""
        return signing.decrypt_rsa(self._channel, slot, ciphertext)

    # PIN and PUK

    def change_pin(self, old: bytearray, new: bytearray) -> None:
        """Both are wiped. Raises: PinIncorrect, PinMalformed, PinBlocked."""
        pin.change_pin(self._channel, old, new)

    def change_puk(self, old: bytearray, new: bytearray) -> None:
        """Both are wiped. Raises: PukIncorrect, PukBlocked."""
        pin.change_puk(self._channel, old, new)

    def unblock_pin(self, puk: bytearray, new_pin: bytearray) -> None:
        """Both are wiped. Raises: PukIncorrect, PukBlocked, PinMalformed."""
        pin.unblock_pin(self._channel, puk, new_pin)

    # Data objects

    def get_data(self, tag: int) -> bytes | None:
        """The content of a data object, inside its 53 (or 7E); None if the card has none. Raises: CardFault."""
        request = command(Ins.GET_DATA, 0x3F, 0xFF, tlv.encode(0x5C, tlv.encode_tag(tag)))
        answer = send(self._channel, "get data", request)
        if answer.status in _ABSENT:
            return None
        if not answer.ok:
            raise fault(f"get {tag:X}", answer.status)
        try:
            return tlv.parse_only(answer.data, tag if tag == ObjectTag.DISCOVERY else 0x53)
        except MalformedTlv as error:
            raise CardFault(f"the object {tag:X} is malformed") from error

    def put_data(self, tag: int, content: bytes) -> None:
        """Needs the management key. Raises: ManagementKeyRefused, CardFault."""
        management.put_data(self._channel, tag, content)

    def chuid(self) -> Chuid | None:
        content = self.get_data(ObjectTag.CHUID)
        return Chuid.parse(content) if content else None

    def discovery(self) -> Discovery | None:
        content = self.get_data(ObjectTag.DISCOVERY)
        return Discovery.parse(content) if content else None

    # The issuer's part

    def authenticate_management(self, key: bytes) -> AlgorithmReference:
        """Prove the management key, and the algorithm it turned out to be for.

        The card's own word for the algorithm is taken where it has one; else every algorithm of the key's length is
        tried. Raises: ManagementKeyRefused.
        """
        told = vendor.management_algorithm(self._channel)
        candidates = [algorithm for algorithm, size in KEY_SIZES.items() if size == len(key)]
        if told is not None:
            candidates = [algorithm for algorithm in candidates if algorithm is told]
        refusal = ManagementKeyRefused("no algorithm of the card takes a key of this length")
        for algorithm in candidates:
            try:
                management.authenticate(self._channel, key, algorithm, self._random)
                return algorithm
            except ManagementKeyRefused as error:
                refusal = error
        raise refusal

    def set_management_key(self, algorithm: AlgorithmReference, key: bytes) -> bool:
        """False for a card that has no command for it. Raises: ManagementKeyRefused, CardFault."""
        return management.set_management_key(self._channel, algorithm, key)

    def generate_key(self, slot: Slot, algorithm: KeyAlgorithm) -> PublicKey:
        """Needs the management key; the slot's earlier key is gone. Raises: ManagementKeyRefused, CardFault."""
        return management.generate_key(self._channel, slot, algorithm)

    def metadata(self, reference: int) -> vendor.Metadata | None:
        """What a vendor's card tells about a key, the PIN (80), the PUK (81); None on other cards."""
        return vendor.metadata(self._channel, reference)

    def version(self) -> str | None:
        return vendor.version(self._channel)

    def serial(self) -> int | None:
        return vendor.serial(self._channel)
