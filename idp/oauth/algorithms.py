"""Signature algorithms of ID tokens."""

from enum import StrEnum


class SigningAlgorithm(StrEnum):
    """ES256 is what clients get unless they register for RS256, which OpenID Connect Core s15.1 demands we have."""

    ES256 = "ES256"
    RS256 = "RS256"
