"""JSON lines: what a card centre's program writes to this one, and reads.

`{"do":"generate","card_number","keys":[{"slot","algorithm"}],"pin","puk","management_key","again"?}` is answered by
`{"done":"generate","keys":[{"slot","csr"}]}`; `{"do":"write","certificates":[{"slot","certificate"}]}` by
`{"done":"write","card_number","read_back":[{"slot","certificate"}],"management_key_replaced"}`; every failure by
`{"error":code,"detail"}`. Requests and certificates are base64 of DER, the management key hexadecimal.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from card_bridge.personalisation.errors import BadRequest
from card_bridge.personalisation.model import Order, Written
from card_bridge.piv.card_number import guid_of
from card_bridge.piv.errors import CardError
from card_bridge.piv.management import KEY_SIZES
from card_bridge.piv.model import KeyAlgorithm, Slot

LINE_LIMIT: Final = 65_536


def parse_line(line: bytes) -> Order | dict[Slot, bytes]:
    """An order to generate, or certificates to write. Raises: BadRequest, whose text quotes nothing of the line."""
    try:
        document = json.loads(line)
        action = document["do"]
        if action == "generate":
            return _order(document)
        if action == "write":
            return _certificates(document)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadRequest("not an order of this protocol") from None
    raise BadRequest("an unknown order")


def _order(document: dict[str, Any]) -> Order:
    keys = {Slot(key["slot"]): KeyAlgorithm(key["algorithm"]) for key in document["keys"]}
    management_key = bytes.fromhex(document["management_key"])
    pin, puk = document["pin"].encode("ascii"), document["puk"].encode("ascii")
    guid_of(document["card_number"])
    if not keys or len(keys) != len(document["keys"]) or len(management_key) not in KEY_SIZES.values():
        raise BadRequest("keys or management key")
    if not (6 <= len(pin) <= 8 and pin.isdigit() and 6 <= len(puk) <= 8):
        raise BadRequest("a PIN is 6 to 8 digits, a PUK 6 to 8 characters")
    return Order(
        card_number=document["card_number"],
        keys=keys,
        pin=pin,
        puk=puk,
        management_key=management_key,
        again=document.get("again", False) is True,
    )


def _certificates(document: dict[str, Any]) -> dict[Slot, bytes]:
    entries = document["certificates"]
    certificates = {Slot(entry["slot"]): b64decode(entry["certificate"], validate=True) for entry in entries}
    if len(certificates) != len(entries):
        raise BadRequest("a slot is named twice")
    return certificates


def generated(requests: Mapping[Slot, bytes]) -> bytes:
    return _line({"done": "generate", "keys": [{"slot": slot, "csr": _base64(der)} for slot, der in requests.items()]})


def written(result: Written) -> bytes:
    read_back = [{"slot": slot, "certificate": _base64(der)} for slot, der in result.certificates.items()]
    return _line(
        {
            "done": "write",
            "card_number": result.card_number,
            "read_back": read_back,
            "management_key_replaced": result.management_key_replaced,
        }
    )


def failed(error: CardError) -> bytes:
    return _line({"error": error.code, "detail": error.detail})


def _line(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode()
