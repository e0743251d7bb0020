"""Randomness, as a constructor argument."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable

Rng = Callable[[int], bytes]
"""Returns that many unpredictable octets."""

system_rng: Rng = secrets.token_bytes


def random_token(rng: Rng, size_bytes: int = 32) -> str:
    """Unpredictable octets as base64url without padding: 43 characters for the default 256 bits."""
    return urlsafe_b64encode(rng(size_bytes)).rstrip(b"=").decode("ascii")
