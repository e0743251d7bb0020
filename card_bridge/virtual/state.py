"""What a virtual card remembers without power: secrets, counters, keys, objects; and what it forgets."""

from dataclasses import dataclass, field

from card_bridge.piv.model import AlgorithmReference
from card_bridge.virtual.keys import PrivateKey
from card_bridge.virtual.profile import CardProfile


@dataclass(slots=True, kw_only=True)
class Secret:
    """A PIN or PUK in its eight octets, and how often it may still be wrong."""

    value: bytes = field(repr=False)
    tries_total: int
    tries_left: int
    is_default: bool = True

    def replace(self, value: bytes) -> None:
        """Another value, with all tries."""
        self.value, self.is_default, self.tries_left = value, False, self.tries_total


@dataclass(slots=True, kw_only=True)
class StoredKey:
    """A private key and where it came from."""

    private_key: PrivateKey = field(repr=False)
    generated: bool = True
    pin_policy: int = 0
    touch_policy: int = 0


@dataclass(slots=True, kw_only=True)
class CardState:
    """The card's permanent memory."""

    serial: int
    vendor_extensions: bool
    pin: Secret
    puk: Secret
    management_key: bytes = field(repr=False)
    management_algorithm: AlgorithmReference
    management_is_default: bool = True
    keys: dict[int, StoredKey] = field(default_factory=dict)
    objects: dict[int, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def from_factory(cls, profile: CardProfile, serial: int) -> "CardState":
        """An empty card with its profile's default secrets."""
        return cls(
            serial=serial,
            vendor_extensions=profile.vendor_extensions,
            pin=_default_secret(profile.pin, profile.pin_tries),
            puk=_default_secret(profile.puk, profile.puk_tries),
            management_key=profile.management_key,
            management_algorithm=profile.management_algorithm,
        )


def _default_secret(value: bytes, tries: int) -> Secret:
    return Secret(value=value.ljust(8, b"\xff"), tries_total=tries, tries_left=tries)


@dataclass(slots=True, kw_only=True)
class SecurityStatus:
    """What the card knows about who is in front of it, until it loses power, is reset or another application comes.

    pin_fresh: the PIN was verified and the signature that 9C allows for it has not been made.
    """

    pin_verified: bool = False
    pin_fresh: bool = False
    management_proved: bool = False
    witness: bytes | None = field(default=None, repr=False)
    challenge: bytes | None = field(default=None, repr=False)

    def forget_pin(self) -> None:
        self.pin_verified = self.pin_fresh = False
