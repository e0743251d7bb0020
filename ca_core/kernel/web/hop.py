"""From the async edge to the sync core."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from ca_core.kernel.database import Database

P = ParamSpec("P")
R = TypeVar("R")


class Hop:
    """Calls a sync service from a handler: on the loop on embedded SQLite, else in one thread hop (docs/adr/0001).

    A hop costs about as much as the work it carries where a statement takes microseconds; on PostgreSQL a statement
    waits for the network, and must not hold the loop meanwhile.
    """

    def __init__(self, database: Database) -> None:
        self._inline = database.is_embedded

    async def __call__(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._inline:
            return call(*args, **kwargs)
        return await run_in_threadpool(call, *args, **kwargs)
