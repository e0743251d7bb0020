"""How a request names the interaction it is about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An interaction's id from the URL and the browser's own secret from its cookie; both untrusted.

    Only the two together open an interaction: the service that takes an entry checks them.
    """

    interaction_id: str
    browser_token: str
