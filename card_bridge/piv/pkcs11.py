"""Cards through a PKCS#11 module: a soft token where there is no reader, or a card only its vendor's module speaks to.

Keys and certificates have the ids that OpenSC gives a PIV card: 01 to 04 for 9A, 9C, 9D, 9E. The card number is that of
a data object labelled as OpenSC labels the CHUID. The module keeps copies of the PIN out of our reach.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from card_bridge.apdu import tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.piv.card_number import parse_guid
from card_bridge.piv.errors import (
    CardError,
    CardFault,
    CardNotPersonalised,
    CardRemoved,
    NoCard,
    NoReader,
    PinBlocked,
    PinIncorrect,
    PinMalformed,
    PinRequired,
)
from card_bridge.piv.model import ReaderState, SignatureAlgorithm, Slot
from card_bridge.piv.objects import Chuid
from card_bridge.piv.pin import check_pin, wipe
from card_bridge.piv.signing import SHA_256_DIGEST_INFO

Pkcs11: TypeAlias = Any  # python-pkcs11's objects; this module and the soft token's alone touch them

CHUID_LABEL: Final = "Card Holder Unique Identifier"
IDS: Final = {
    Slot.AUTHENTICATION: b"\x01",
    Slot.SIGNATURE: b"\x02",
    Slot.ENCRYPTION: b"\x03",
    Slot.CARD_AUTHENTICATION: b"\x04",
}
_REMOVED: Final = (
    "DeviceRemoved",
    "TokenNotPresent",
    "SessionHandleInvalid",
    "SessionClosed",
    "SlotIDInvalid",
)
_PIN_REFUSED: Final = ("PinIncorrect", "PinInvalid", "PinLenRange")


def load_module(module: Path) -> Pkcs11:
    """The module. Raises: NoReader where python-pkcs11 or the module is missing."""
    try:
        import pkcs11
    except ImportError as error:
        raise NoReader("python-pkcs11 is not installed") from error
    try:
        return pkcs11.lib(str(module))
    except (pkcs11.exceptions.PKCS11Error, RuntimeError, OSError) as error:
        raise NoReader(f"the PKCS#11 module {module.name} does not load") from error


def forget_sessions(module: Path) -> None:
    """Close every session with the module: python-pkcs11 leaves one open for each login that is refused."""
    with translated("reinitialise"):
        load_module(module).reinitialize()


class Pkcs11Readers:
    """The slots of one module (`card_bridge.piv.ports.CardReaders`). A reader's name is its slot's description."""

    def __init__(self, module: Path) -> None:
        self._module = module

    def list(self) -> Sequence[ReaderState]:
        states = []
        for slot in load_module(self._module).get_slots():
            token = usable_token(slot)
            label = None if token is None else token.label.strip()
            states.append(ReaderState(name=_name(slot), card_present=token is not None, token=label))
        return states

    @contextmanager
    def connect(self, reader_name: str) -> Iterator["Pkcs11Card"]:
        """reader_name: a slot's description, or the label of the token in it."""
        card = Pkcs11Card(self._token(reader_name))
        try:
            yield card
        finally:
            card.close()
            if card.login_failed:
                forget_sessions(self._module)

    def _token(self, reader_name: str) -> Pkcs11:
        named = False
        for slot in load_module(self._module).get_slots():
            token = usable_token(slot)
            if token is not None and reader_name in (_name(slot), token.label.strip()):
                return token
            named = named or _name(slot) == reader_name
        raise NoCard(reader_name) if named else NoReader(reader_name)


class Pkcs11Card:
    """A token (`card_bridge.piv.ports.Card`)."""

    def __init__(self, token: Pkcs11) -> None:
        self._token = token
        self._pin = bytearray()
        self._logged_in: Pkcs11 = None
        self.login_failed = False
        with translated("open"):
            self._session = token.open()

    def close(self) -> None:
        """Log out and forget the PIN. Never raises: the token may be gone."""
        wipe(self._pin)
        for session in (self._logged_in, self._session):
            if session is not None:
                try:
                    with translated("close"):
                        session.close()
                except CardError:
                    continue

    def card_number(self) -> str | None:
        with translated("card number"):
            content = read_data(self._session, CHUID_LABEL)
        if not content:
            return None
        chuid = Chuid.parse(_inside(content))
        return parse_guid(chuid.guid) if chuid else None

    def certificate(self, slot: Slot) -> bytes | None:
        with translated("certificate"):
            return read_certificate(self._session, slot)

    def pin_tries_left(self) -> int | None:
        """Exactly none, exactly one, or not told: that is all PKCS#11 says."""
        from pkcs11 import TokenFlag

        with translated("tries left"):
            flags = self._token.slot.get_token().flags
        if TokenFlag.USER_PIN_LOCKED in flags:
            return 0
        return 1 if TokenFlag.USER_PIN_FINAL_TRY in flags else None

    def verify_pin(self, pin: bytearray) -> None:
        try:
            self._log_in(pin)
            wipe(self._pin)
            self._pin = bytearray(pin)
        except PinMalformed as error:
            raise PinMalformed(self.pin_tries_left(), error.detail) from None
        except (PinIncorrect, PinBlocked):
            self.login_failed = True
            raise
        finally:
            wipe(pin)

    def _log_in(self, pin: bytearray) -> None:
        check_pin(pin)
        with translated("login", self):
            if self._logged_in is not None:
                self._logged_in.close()
                self._logged_in = None
            self._logged_in = self._token.open(user_pin=pin.decode("ascii"))

    def sign(self, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        if len(digest) != algorithm.digest_size:
            raise ValueError(f"{algorithm} signs {algorithm.digest_size} octets")
        if self._logged_in is None:
            raise PinRequired(f"private key {slot}")
        with translated(f"private key {slot}", self):
            return sign_with(self._logged_in, slot, digest, algorithm, self._fresh_pin)

    def _fresh_pin(self) -> str:
        """The PIN, once, for a key that wants it before each signature."""
        if not self._pin:
            raise PinRequired("the PIN has served one signature")
        pin = self._pin.decode("ascii")
        wipe(self._pin)
        self._pin = bytearray()
        return pin


def usable_token(slot: Pkcs11) -> Pkcs11:
    """The slot's token; None for an empty slot or a token that was never initialised."""
    import pkcs11

    try:
        token = slot.get_token()
    except pkcs11.exceptions.PKCS11Error:
        return None
    return token if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags else None


def read_certificate(session: Pkcs11, slot: Slot) -> bytes | None:
    from pkcs11 import Attribute, ObjectClass

    template = {Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: IDS[slot]}
    return next((bytes(found[Attribute.VALUE]) for found in list(session.get_objects(template))), None)


def read_data(session: Pkcs11, label: str) -> bytes | None:
    from pkcs11 import Attribute, ObjectClass

    template = {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: label}
    return next((bytes(found[Attribute.VALUE]) for found in list(session.get_objects(template))), None)


def sign_with(
    session: Pkcs11,
    slot: Slot,
    digest: bytes,
    algorithm: SignatureAlgorithm,
    fresh_pin: Callable[[], str],
) -> bytes:
    """A raw signature by the slot's private key. fresh_pin: gives the PIN for a key that always asks."""
    import pkcs11

    template = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.ID: IDS[slot]}
    key = next(iter(list(session.get_objects(template))), None)
    if key is None:
        raise CardNotPersonalised(f"no private key {slot}")
    asks = _always_authenticates(key)
    mechanism, block = pkcs11.Mechanism.ECDSA, digest
    if algorithm is SignatureAlgorithm.RS256:
        mechanism, block = pkcs11.Mechanism.RSA_PKCS, SHA_256_DIGEST_INFO + digest
    return bytes(key.sign(block, mechanism=mechanism, pin=fresh_pin() if asks else None))


def _always_authenticates(key: Pkcs11) -> bool:
    import pkcs11

    try:
        return bool(key[pkcs11.Attribute.ALWAYS_AUTHENTICATE])
    except pkcs11.exceptions.PKCS11Error:
        return False


@contextmanager
def translated(step: str, card: Pkcs11Card | None = None) -> Iterator[None]:
    """The module's errors as ours; none of their texts, which may quote anything, is kept."""
    import pkcs11

    try:
        yield
    except pkcs11.exceptions.PKCS11Error as error:
        name = type(error).__name__
        detail = f"{step}: {name}"
        if name == "PinLocked":
            raise PinBlocked(detail) from error
        if name in _PIN_REFUSED:
            tries_left = card.pin_tries_left() if card else None
            raise (PinBlocked(detail) if tries_left == 0 else PinIncorrect(tries_left, detail)) from error
        if name == "UserNotLoggedIn":
            raise PinRequired(detail) from error
        if name in _REMOVED:
            raise CardRemoved(detail) from error
        raise CardFault(detail) from error


def _name(slot: Pkcs11) -> str:
    return str(slot.slot_description).strip()


def _inside(content: bytes) -> bytes:
    """What the object holds, whether or not the module left the card's own wrapping around it."""
    try:
        return tlv.parse_only(content, 0x53)
    except MalformedTlv:
        return content
