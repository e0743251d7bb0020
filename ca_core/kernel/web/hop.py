"""From the async edge to the sync core."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, ParamSpec, TypeVar

from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")
MAX_TOGETHER = 64
"""How many calls share one commit at most: bounds how long one call can hold up the others."""

MAX_AT_ONCE = 32
"""How many calls wait for PostgreSQL at once; further ones queue."""


class Hop:
    """Calls a sync service from a handler: on the loop on embedded SQLite, else in one thread hop (docs/adr/0001).

    A hop costs about as much as the work it carries where a statement takes microseconds; on PostgreSQL a statement
    waits for the network, and must not hold the loop meanwhile.

    On SQLite the calls that are ready in the same turn of the loop share one commit (docs/adr/0005): each is a unit of
    its own inside, and none is answered before what it wrote is on disk.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inline = database.is_embedded
        self._threads = _Threads()
        self._waiting: dict[asyncio.AbstractEventLoop, list[Call]] = {}

    async def __call__(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        done: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        bound: Callable[[], R] = partial(call, *args, **kwargs)
        if not self._inline:
            bound = partial(copy_context().run, bound)

        def told(mine: Call) -> None:
            if not done.done():  # cancelled: nobody waits for it any more
                done.set_result(mine)

        self.start(bound, told)
        mine = await done
        if mine.error is not None:
            raise mine.error
        result: R = mine.result
        return result

    def start(self, call: Callable[[], Any], told: "Callable[[Call], None]") -> None:
        """The same without a coroutine. told: called once on this loop, later, with what came of it."""
        loop = asyncio.get_running_loop()
        mine = Call(loop, call, told)
        if not self._inline:
            self._threads.start(mine)
            return
        waiting = self._waiting.get(loop)
        if waiting is None or len(waiting) >= MAX_TOGETHER:
            waiting = self._waiting[loop] = []
            loop.call_soon(self._run, loop, waiting)
        waiting.append(mine)

    def begin(self, call: Callable[[], None]) -> None:
        """Calls it, on embedded SQLite at once, else in a thread, without waiting for it. It must not raise."""
        if self._inline:
            call()
        else:
            self._threads.start(Call(asyncio.get_running_loop(), call, _untold))

    def _run(self, loop: asyncio.AbstractEventLoop, calls: "list[Call]") -> None:
        """Runs what waits, in the order in which it came."""
        if self._waiting.get(loop) is calls:
            del self._waiting[loop]
        if len(calls) == 1:
            calls[0].run()
        else:
            try:
                with self._database.together():
                    for call in calls:
                        call.run()
            except Exception as error:  # noqa: BLE001  (nothing was committed: every caller hears so)
                for call in calls:
                    call.error = error
        for call in calls:
            call.settle()


class Call:
    """A call, and what came of it."""

    __slots__ = ("_call", "_told", "error", "loop", "result")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, call: Callable[[], Any], told: "Callable[[Call], None]"
    ) -> None:
        self._call = call
        self._told = told
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001  (told to whoever made the call)
            self.error = error

    def settle(self) -> None:
        """On the loop, once nothing of it can be undone. A fault in the telling is not the next call's."""
        try:
            self._told(self)
        except Exception as error:  # noqa: BLE001  (the loop logs it)
            self.loop.call_exception_handler({"message": "telling what came of a call", "exception": error})


def _untold(_call: Call) -> None:
    """Nobody waits for it."""


class _Threads:
    """Threads that run calls and settle them on their loops, started when all that there are have work.

    What `ThreadPoolExecutor` does, at half its cost here: no second future, no condition to lock.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._lock = Lock()
        self._count = 0
        self._unfinished = 0

    def start(self, call: Call) -> None:
        with self._lock:
            self._unfinished += 1
            is_one_more = self._count < min(self._unfinished, MAX_AT_ONCE)
            self._count += is_one_more
        if is_one_more:
            self._start_thread()
        self._calls.put(call)

    def _start_thread(self) -> None:
        """Raises: Unavailable, where the system gives none and there is none to wait for."""
        try:
            Thread(target=self._work, name="hop", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._count -= 1
                if self._count > 0:
                    return
                self._unfinished -= 1
            raise Unavailable("no thread can be started") from error

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call.run()
            except BaseException as error:  # noqa: BLE001  (likewise: this thread goes on)
                call.error = error
            with self._lock:
                self._unfinished -= 1
            with suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
                call.loop.call_soon_threadsafe(call.settle)
            del call
