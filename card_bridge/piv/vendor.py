"""What cards of one vendor tell beyond the standard; every answer may be None, and nothing depends on it."""

from dataclasses import dataclass

from card_bridge.apdu import tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import SHORT_ANSWER_LIMIT, CommandApdu, Ins
from card_bridge.apdu.ports import Channel
from card_bridge.piv.answers import send
from card_bridge.piv.model import AlgorithmReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Of a key, the PIN (reference 80), the PUK (81) or the management key (9B)."""

    algorithm: int | None
    is_default: bool | None
    tries_total: int | None
    tries_left: int | None
    generated_on_card: bool | None


def metadata(channel: Channel, reference: int) -> Metadata | None:
    """What the card says about this reference; None if it has no such command or nothing there."""
    data = _ask(channel, Ins.METADATA, reference)
    if data is None:
        return None
    try:
        objects = tlv.parse(data)
    except MalformedTlv:
        return None
    default, tries, origin = (tlv.find(objects, tag) for tag in (0x05, 0x06, 0x03))
    algorithm = tlv.find(objects, 0x01)
    return Metadata(
        algorithm=algorithm[0] if algorithm else None,
        is_default=bool(default[0]) if default else None,
        tries_total=tries[0] if tries and len(tries) == 2 else None,
        tries_left=tries[1] if tries and len(tries) == 2 else None,
        generated_on_card=origin[0] == 1 if origin else None,
    )


def management_algorithm(channel: Channel) -> AlgorithmReference | None:
    """The management key's algorithm; None if the card does not tell."""
    found = metadata(channel, 0x9B)
    try:
        return AlgorithmReference(found.algorithm) if found and found.algorithm is not None else None
    except ValueError:
        return None


def version(channel: Channel) -> str | None:
    """The firmware's version, for support."""
    data = _ask(channel, Ins.VERSION, 0)
    return ".".join(map(str, data)) if data and len(data) == 3 else None


def serial(channel: Channel) -> int | None:
    """The vendor's serial number, for support."""
    data = _ask(channel, Ins.SERIAL, 0)
    return int.from_bytes(data, "big") if data and len(data) == 4 else None


def attestation(channel: Channel, reference: int) -> bytes | None:
    """A certificate in DER by which the vendor says that this key was made on this card."""
    return _ask(channel, Ins.ATTEST, 0, p1=reference)


def _ask(channel: Channel, instruction: Ins, reference: int, p1: int = 0) -> bytes | None:
    answer = send(channel, instruction.name, CommandApdu(ins=instruction, p1=p1, p2=reference, ne=SHORT_ANSWER_LIMIT))
    return answer.data if answer.ok else None
