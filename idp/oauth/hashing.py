"""Hashes of tokens and codes: the only form in which they are stored."""

from hashlib import sha256


def token_hash(token: str) -> bytes:
    """SHA-256 of a token's characters. The token has 256 random bits, so no salt and no slow hash is needed."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
