"""What the rest of the house asks of a key store."""

from typing import Protocol

from ca_core.keys.model import KeyAlgorithm, KeyStoreHealth, PrivateKey


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


class HealthyKeyStore(KeyStore, Protocol):
    """A key store that says how it is: both kinds do."""

    def health(self, *, probe: bool = False) -> KeyStoreHealth:
        """How it is, from what happened so far; with `probe`, after it was asked for something small. Never raises."""
        ...
