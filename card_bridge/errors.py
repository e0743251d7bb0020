"""The root of all errors that a rule of the bridge raises."""

from typing import ClassVar


class BridgeError(Exception):
    """A broken rule.

    code: stable, goes on the wire and to stderr, and names the public text in the catalogues as `error.<code>`.
    reason: finer than the code where one code covers several failures; on the wire beside it.
    detail: for logs only; never on the wire, and never holds a PIN.
    """

    code: ClassVar[str] = "bridge_error"
    reason: ClassVar[str] = ""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.reason or self.code)
        self.detail = detail


class ConfigurationError(BridgeError):
    """The data folder lacks something or contradicts itself. All faults at once, one a line, in `detail`."""

    code = "configuration_error"
