"""From the loop to the responder, for answers that are not in memory and wait for a database over the network."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from ca_core.kernel.database import Database
from ca_core.kernel.web.hop import Hop

P = ParamSpec("P")
R = TypeVar("R")
_THREADS = 8


class OcspHop(Hop):
    """A `Hop` with threads of its own, so that misses neither wait for slow pages nor hold them up.

    It hands no context variables over, and costs a third of the other (25 µs of CPU instead of 72-100).
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._threads = None if database.is_embedded else ThreadPoolExecutor(_THREADS, thread_name_prefix="ocsp")

    async def __call__(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._threads is None:
            return await super().__call__(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))
