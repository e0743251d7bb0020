"""Between which steps of an issuance the process may die; tests make it die there."""

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """What has just been done, in order."""

    CHECKED = "checked"
    LINTED = "linted"
    INTENT_WRITTEN = "intent_written"  # not yet committed
    INTENT_RECORDED = "intent_recorded"
    SIGNED = "signed"
    VERIFIED = "verified"
    CERTIFICATE_WRITTEN = "certificate_written"  # not yet committed
    AUDITED = "audited"  # not yet committed
    RECORDED = "recorded"


Checkpoint = Callable[[Step], None]
"""Told of every step."""


def no_checkpoint(step: Step) -> None:
    """Does nothing: what production uses."""
