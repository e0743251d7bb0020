"""What the rest of the house asks of a key store."""

from typing import Protocol

from ca_core.keys.model import KeyAlgorithm, PrivateKey


class KeyStore(Protocol):
    """Private keys by label. Keys never leave it: what it returns can sign, whether or not it can be read."""

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """Makes a key that is durable when this returns.

        Raises: KeyLabelRefused; KeyExists (nothing changed); Unavailable.
        """
        ...

    def private_key(self, label: str) -> PrivateKey:
        """The key: cryptography's own type, or a subclass that signs in the HSM.

        Raises: KeyLabelRefused; KeyNotFound; KeyStoreFault; Unavailable.
        """
        ...
