"""Certification authorities: what they are, how they come into being, how the rest of the house finds them."""

from ca_core.authorities.errors import (
    AuthorityError,
    AuthorityExists,
    AuthorityNotFound,
    CeremonyAlreadyHeld,
    CeremonyRefused,
)
from ca_core.authorities.model import Authority, AuthorityRole, AuthoritySigner, CeremonyRecord
from ca_core.authorities.registry import AuthorityRegistry

__all__ = [
    "Authority",
    "AuthorityError",
    "AuthorityExists",
    "AuthorityNotFound",
    "AuthorityRegistry",
    "AuthorityRole",
    "AuthoritySigner",
    "CeremonyAlreadyHeld",
    "CeremonyRecord",
    "CeremonyRefused",
]
