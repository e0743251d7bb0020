"""National IDs at rest: encrypted for reading back, hashed under a key for looking up."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng
from ca_core.registration.errors import NationalIdUnreadable
from ca_core.registration.national_id import NationalId

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedNationalId:
    """key_id: names the encryption key. octets: nonce (12), ciphertext, tag (16)."""

    key_id: str
    octets: bytes


class NationalIdKeys:
    """The keys over national IDs: encryption keys by id, of which one is current, and one look-up key.

    Old encryption keys stay until every row was sealed again (`RegistrationService.reseal`). The look-up key cannot be
    rotated that way: another one means hashing every row anew while nobody registers.
    """

    def __init__(self, encryption_keys: Mapping[str, bytes], current: str, lookup_key: bytes) -> None:
        """Keys of 32 octets each, all different. Raises: ConfigurationError."""
        if current not in encryption_keys:
            raise ConfigurationError("the current national ID key is missing")
        keys = [*encryption_keys.values(), lookup_key]
        if any(len(key) != KEY_BYTES for key in keys) or len(set(keys)) != len(keys):
            raise ConfigurationError(f"national ID keys must be {KEY_BYTES} octets each, and all different")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in encryption_keys.items()}
        self._current = current
        self._lookup_key = lookup_key

    @property
    def current(self) -> str:
        return self._current

    def seal(self, national_id: NationalId, person_id: str, rng: Rng) -> SealedNationalId:
        """The ID under the current key, bound to the person: moved to another row, it does not decrypt."""
        nonce = rng(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, national_id.reveal().encode(), person_id.encode())
        return SealedNationalId(key_id=self._current, octets=nonce + sealed)

    def unseal(self, sealed: SealedNationalId, person_id: str) -> NationalId:
        """The ID. Raises: NationalIdUnreadable."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise NationalIdUnreadable(f"no key {sealed.key_id}")
        try:
            plain = cipher.decrypt(sealed.octets[:_NONCE_BYTES], sealed.octets[_NONCE_BYTES:], person_id.encode())
        except (InvalidTag, ValueError) as error:
            raise NationalIdUnreadable(f"key {sealed.key_id}, person {person_id}") from error
        return NationalId(plain.decode("ascii"))

    def lookup(self, national_id: NationalId) -> bytes:
        """HMAC-SHA-256 of the ID: equal for equal IDs, and without the key not to be tried out."""
        return hmac.new(self._lookup_key, b"national-id:" + national_id.reveal().encode(), sha256).digest()
