"""A virtual card's memory as a folder: one file, replaced whole, so that a loss of power leaves the old or the new.

The folder is the card: whoever reads it has the keys and the PIN, so it is readable by its owner alone.
"""

import fcntl
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from card_bridge.piv.model import AlgorithmReference
from card_bridge.virtual import keys
from card_bridge.virtual.profile import CardProfile
from card_bridge.virtual.state import CardState, Secret, StoredKey

FILE_NAME: Final = "card.json"
_FORMAT: Final = 1


class CardFolderInUse(Exception):
    """Another process is this card at the moment."""


class CardFolderUnreadable(Exception):
    """The folder holds something else than a card's memory."""


class CardStore(Protocol):
    """Where a card's memory is kept."""

    def load(self) -> CardState | None: ...

    def save(self, state: CardState) -> None: ...


class MemoryStore:
    """For cards that nobody needs tomorrow. Keeps the state's written form, so power loss can be tested with it."""

    def __init__(self) -> None:
        self.written: bytes | None = None

    def load(self) -> CardState | None:
        return None if self.written is None else _parse(self.written)

    def save(self, state: CardState) -> None:
        self.written = _build(state)


class FolderStore:
    """A folder, held by one process at a time until `close`. Raises on construction: CardFolderInUse."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise CardFolderInUse(str(folder)) from error

    def load(self) -> CardState | None:
        """None for a new card. Raises: CardFolderUnreadable."""
        try:
            return _parse((self._folder / FILE_NAME).read_bytes())
        except FileNotFoundError:
            return None

    def save(self, state: CardState) -> None:
        """Returns once the new memory would survive a loss of power."""
        written = self._folder / f"{FILE_NAME}.new"
        descriptor = os.open(written, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_build(state))
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._folder / FILE_NAME)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._lock)


def load_or_make(store: CardStore, profile: CardProfile, random: Callable[[int], bytes]) -> CardState:
    """The card that the store holds, or a new one from the factory, already saved."""
    state = store.load()
    if state is None:
        state = CardState.from_factory(profile, serial=int.from_bytes(random(4), "big") & 0x7FFFFFFF)
        store.save(state)
    return state


def _build(state: CardState) -> bytes:
    document = {
        "format": _FORMAT,
        "serial": state.serial,
        "vendor_extensions": state.vendor_extensions,
        "pin": _secret_out(state.pin),
        "puk": _secret_out(state.puk),
        "management_key": state.management_key.hex(),
        "management_algorithm": int(state.management_algorithm),
        "management_is_default": state.management_is_default,
        "keys": {
            f"{reference:02X}": {
                "pkcs8": b64encode(keys.to_pkcs8(key.private_key)).decode(),
                "generated": key.generated,
                "pin_policy": key.pin_policy,
                "touch_policy": key.touch_policy,
            }
            for reference, key in state.keys.items()
        },
        "objects": {f"{tag:X}": b64encode(content).decode() for tag, content in state.objects.items()},
    }
    return json.dumps(document, indent=1).encode()


def _parse(octets: bytes) -> CardState:
    try:
        document: dict[str, Any] = json.loads(octets)
        if document["format"] != _FORMAT:
            raise CardFolderUnreadable(f"format {document['format']}")
        return CardState(
            serial=document["serial"],
            vendor_extensions=document["vendor_extensions"],
            pin=_secret_in(document["pin"]),
            puk=_secret_in(document["puk"]),
            management_key=bytes.fromhex(document["management_key"]),
            management_algorithm=AlgorithmReference(document["management_algorithm"]),
            management_is_default=document["management_is_default"],
            keys={
                int(reference, 16): StoredKey(
                    private_key=keys.from_pkcs8(b64decode(key["pkcs8"])),
                    generated=key["generated"],
                    pin_policy=key["pin_policy"],
                    touch_policy=key["touch_policy"],
                )
                for reference, key in document["keys"].items()
            },
            objects={int(tag, 16): b64decode(content) for tag, content in document["objects"].items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CardFolderUnreadable("not a card's memory") from error


def _secret_out(secret: Secret) -> dict[str, Any]:
    return {
        "value": secret.value.hex(),
        "tries_total": secret.tries_total,
        "tries_left": secret.tries_left,
        "is_default": secret.is_default,
    }


def _secret_in(document: dict[str, Any]) -> Secret:
    return Secret(
        value=bytes.fromhex(document["value"]),
        tries_total=document["tries_total"],
        tries_left=document["tries_left"],
        is_default=document["is_default"],
    )
