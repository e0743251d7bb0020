"""Between which steps of a CRL's publication the process may die; tests make it die there."""

from collections.abc import Callable
from enum import StrEnum


class CrlStep(StrEnum):
    """What has just been done, in order."""

    RESERVED = "reserved"
    BUILT = "built"  # every entry read; most octets stored
    SIGNED = "signed"
    WRITTEN = "written"  # not yet committed
    PUBLISHED = "published"


CrlCheckpoint = Callable[[CrlStep], None]
"""Told of every step."""


def no_checkpoint(step: CrlStep) -> None:
    """Does nothing: what production uses."""
