"""A forked child that is killed by SIGKILL before its n-th step: a statement, a commit, or whatever else is counted."""

import os
import signal
from collections.abc import Callable
from typing import Any

from ca_core.kernel import database as kernel
from ca_core.kernel.database import PipelinedTransaction, Transaction

Steps = tuple[tuple[Any, tuple[str, ...], bool], ...]
"""(an object, names of its functions, whether their end is a step too)"""

_STATEMENTS = ("execute", "execute_many", "add", "all", "one_or_none")
AT_THE_DATABASE: Steps = (
    (Transaction, _STATEMENTS, False),
    (PipelinedTransaction, _STATEMENTS, False),
    (kernel._Unit, ("__exit__",), True),
    (kernel._Deferred, ("__exit__",), True),
)


def killed_before(count: int, prepare: Callable[[], Callable[[], object]], steps: Steps = AT_THE_DATABASE) -> bool:
    """Whether the child died: False where it came to its end before so many steps.

    prepare: run in the child, which must open its own connections there; what it returns is what is killed.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act = prepare()
            _count_down(count, steps)
            act()
            status = 0
        finally:
            os._exit(status)
    _, waited = os.waitpid(child, 0)
    if os.WIFSIGNALED(waited):
        assert os.WTERMSIG(waited) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(waited) == 0, "the child failed"
    return False


def _count_down(count: int, steps: Steps) -> None:
    """In the child alone: nothing is put back."""
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(method: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        def called(*arguments: object, **params: object) -> object:
            step()
            done = method(*arguments, **params)
            if after:
                step()
            return done

        return called

    for owner, names, after in steps:
        for name in names:
            if name in vars(owner):
                setattr(owner, name, counted(vars(owner)[name], after=after))
