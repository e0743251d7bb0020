"""The data objects of a PIV card: tags, and what is inside (SP 800-73-4 part 1, appendix A)."""

import gzip
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from card_bridge.apdu import tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.piv.errors import CardFault
from card_bridge.piv.model import Slot

AID: Final = bytes.fromhex("a000000308000010000100")
AID_PREFIX: Final = AID[:9]
CERTIFICATE_LIMIT: Final = 16_384
_GZIPPED: Final = 0x01


class ObjectTag(IntEnum):
    """Data objects by BER-TLV tag."""

    DISCOVERY = 0x7E
    CHUID = 0x5FC102
    CCC = 0x5FC107
    CERTIFICATE_9A = 0x5FC105
    CERTIFICATE_9C = 0x5FC10A
    CERTIFICATE_9D = 0x5FC10B
    CERTIFICATE_9E = 0x5FC101
    KEY_HISTORY = 0x5FC10C
    PRINTED_INFORMATION = 0x5FC109
    FINGERPRINTS = 0x5FC103
    FACE = 0x5FC108
    IRIS = 0x5FC121


CERTIFICATES: Final = {
    Slot.AUTHENTICATION: ObjectTag.CERTIFICATE_9A,
    Slot.SIGNATURE: ObjectTag.CERTIFICATE_9C,
    Slot.ENCRYPTION: ObjectTag.CERTIFICATE_9D,
    Slot.CARD_AUTHENTICATION: ObjectTag.CERTIFICATE_9E,
}


def build_certificate(der: bytes) -> bytes:
    """The content of a certificate object."""
    return tlv.encode(0x70, der) + tlv.encode(0x71, b"\x00") + tlv.encode(0xFE)


def parse_certificate(content: bytes) -> bytes | None:
    """The certificate in DER, untrusted; None for an object that was emptied. Raises: CardFault."""
    if not content:
        return None
    objects = _parse(content, "certificate")
    der, info = tlv.find(objects, 0x70), tlv.find(objects, 0x71)
    if not der:
        return None
    return _gunzip(der) if info and info[0] & _GZIPPED else der


def _gunzip(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        der = unpacking.decompress(packed, CERTIFICATE_LIMIT)
    except zlib.error as error:
        raise CardFault("a compressed certificate does not unpack") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise CardFault("a compressed certificate is too large or cut off")
    return der


def build_compressed_certificate(der: bytes) -> bytes:
    """The content of a certificate object for a card with little memory."""
    return tlv.encode(0x70, gzip.compress(der, mtime=0)) + tlv.encode(0x71, bytes((_GZIPPED,))) + tlv.encode(0xFE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chuid:
    """Card holder unique identifier: its GUID, and the day (YYYYMMDD) until which it is meant to last."""

    guid: bytes
    expires: str

    def build(self) -> bytes:
        return (
            tlv.encode(0x30, _FASC_N_OF_NO_AGENCY)
            + tlv.encode(0x34, self.guid)
            + tlv.encode(0x35, self.expires.encode("ascii"))
            + tlv.encode(0x3E)
            + tlv.encode(0xFE)
        )

    @classmethod
    def parse(cls, content: bytes) -> "Chuid | None":
        """None for a CHUID without a GUID of 16 octets. Raises: CardFault."""
        objects = _parse(content, "CHUID")
        guid, expires = tlv.find(objects, 0x34), tlv.find(objects, 0x35) or b""
        if guid is None or len(guid) != 16:
            return None
        return cls(guid=guid, expires=expires.decode("ascii", errors="replace"))


# The FASC-N of an issuer that is no agency of the United States: agency, system and credential all nines.
_FASC_N_OF_NO_AGENCY: Final = bytes.fromhex("d4e739da739ced39ce739d836858210842108421c84210c3eb")


def build_ccc(card_id: bytes) -> bytes:
    """Card capability container of a PIV card with nothing beyond the standard. card_id: 16 octets, unique."""
    identifier = bytes.fromhex("a000000116") + b"\xff\x02" + card_id[-14:]
    return (
        tlv.encode(0xF0, identifier)
        + tlv.encode(0xF1, b"\x21")
        + tlv.encode(0xF2, b"\x21")
        + tlv.encode(0xF3)
        + tlv.encode(0xF4, b"\x00")
        + tlv.encode(0xF5, b"\x10")
        + b"".join(tlv.encode(tag) for tag in (0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE))
    )


def build_discovery() -> bytes:
    """The discovery object: this application, and that its own PIN is the one that unlocks the keys."""
    return tlv.encode(0x7E, tlv.encode(0x4F, AID) + tlv.encode(0x5F2F, b"\x40\x00"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What the discovery object says: the application, and whether a global PIN may stand in for its own."""

    aid: bytes
    global_pin: bool

    @classmethod
    def parse(cls, content: bytes) -> "Discovery":
        """content: inside the template 7E. Raises: CardFault."""
        objects = _parse(content, "discovery")
        policy = tlv.find(objects, 0x5F2F) or b"\x40"
        return cls(aid=tlv.find(objects, 0x4F) or b"", global_pin=bool(policy[0] & 0x20))


def _parse(content: bytes, name: str) -> tuple[tlv.Tlv, ...]:
    try:
        return tlv.parse(content)
    except MalformedTlv as error:
        raise CardFault(f"the {name} object is malformed") from error
