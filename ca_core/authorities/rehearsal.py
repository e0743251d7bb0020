"""Public keys of the wanted kind for a ceremony's rehearsal; their private halves are forgotten at once."""

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ca_core.keys.model import CURVES, PUBLIC_EXPONENT, RSA_SIZES, KeyAlgorithm, PublicKey


@lru_cache(maxsize=len(KeyAlgorithm))
def rehearsal_key(algorithm: KeyAlgorithm) -> PublicKey:
    """The same key for the same algorithm, since a large RSA key takes seconds to make."""
    if algorithm in RSA_SIZES:
        return rsa.generate_private_key(PUBLIC_EXPONENT, RSA_SIZES[algorithm]).public_key()
    return ec.generate_private_key(CURVES[algorithm]()).public_key()
