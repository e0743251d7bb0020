"""Heads of requests as they were parsed before, so that the same octets need not be parsed again.

A head, from the first octet behind the request before to the empty line, means what it meant the last time: nothing
before it changes how HTTP/1.1 is read. Callers of one kind send the same head over and over.
"""

MAX_KNOWN_BYTES = 2_048
"""Of head and body together: a longer request is always parsed."""
_MANY = 4_096


class KnownHeads:
    """At most 4,096, the oldest goes first. For heads without secrets, since they are kept. Used by one event loop."""

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[bytes, bytes, int]] = {}
        self.find = self._heads.get
        """The method, target and size of body that a head said, or None."""

    def learn(self, head: bytes, method: bytes, target: bytes, size: int) -> None:
        """What the parser said of it when it came at the beginning of a message."""
        while len(self._heads) >= _MANY:
            del self._heads[next(iter(self._heads))]
        self._heads[head] = (method, target, size)
