"""Public keys of the wanted kind for a ceremony's rehearsal; their private halves are forgotten at once."""

from functools import lru_cache

from ca_core.keys.model import KeyAlgorithm, PublicKey, new_private_key


@lru_cache(maxsize=len(KeyAlgorithm))
def rehearsal_key(algorithm: KeyAlgorithm) -> PublicKey:
    """The same key for the same algorithm, since a large RSA key takes seconds to make."""
    return new_private_key(algorithm).public_key()
