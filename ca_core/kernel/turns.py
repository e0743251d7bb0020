"""How long the interpreter lets one thread run while another waits."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SHORT_S = 0.0005
_lock = threading.Lock()
_asked = 0
_before = 0.0


@contextmanager
def short_turns() -> Iterator[None]:
    """While anybody is within, a thread that waits for the interpreter waits half a millisecond, not five.

    For threads that mostly call code outside the interpreter: such a call ends with a wait for whoever computes, and a
    signature in a token is three of them. The setting is the process's; the last to leave puts back what was before.
    """
    global _asked, _before
    with _lock:
        if _asked == 0:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(min(SHORT_S, _before))
        _asked += 1
    try:
        yield
    finally:
        with _lock:
            _asked -= 1
            if _asked == 0:
                sys.setswitchinterval(_before)
