"""What the asking page hears of its operation: states, then exactly one result or error, after which the stream ends.

A wrong PIN comes as an `error` that does not end the stream: the person may try again in the bridge's own window.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

from card_bridge.operations.model import End, Outcome, PageState, Policy
from card_bridge.operations.operation import Operation

TICK_S = 1.0
TICKS_PER_COMMENT = 10


def event(name: str, data: Mapping[str, object]) -> str:
    """One event of a text/event-stream."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def state_events(state: PageState) -> str:
    """The state, and after it what the person is told of a wrong PIN."""
    events = event("state", {"state": state.state.value})
    return events + (error_event(state.code, state.tries_left) if state.code else "")


def error_event(code: str, tries_left: int | None) -> str:
    return event("error", {"code": code} | ({} if tries_left is None else {"tries_left": tries_left}))


def outcome_event(outcome: Outcome) -> str:
    if outcome.code == End.DONE and outcome.auth_token is not None:
        return event("result", {"auth_token": dict(outcome.auth_token)})
    return error_event(outcome.code, outcome.tries_left)


async def operation_events(operation: Operation, watch: "PageWatch") -> AsyncIterator[str]:
    """The stream for one listener. The outcome goes to one listener only; another that waits gets `error` gone."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(changed.set)

    operation.subscribe(wake)
    watch.arrived(operation)
    try:
        last: PageState | None = None
        ticks = 0
        while not operation.has_ended():
            changed.clear()
            state = operation.page_state()
            if state != last and not operation.has_ended():
                last = state
                yield state_events(state)
            try:
                await asyncio.wait_for(changed.wait(), TICK_S)
            except TimeoutError:
                operation.expire_if_due()
                ticks += 1
                if ticks % TICKS_PER_COMMENT == 0:
                    yield ": still here\n\n"
        outcome = operation.take_outcome()
        yield outcome_event(outcome) if outcome else error_event("operation_not_found", None)
    finally:
        operation.unsubscribe(wake)
        watch.left(operation)


class PageWatch:
    """Ends an operation whose page has gone away: nobody waits for the token, and the person would block the next."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._listening: dict[str, int] = {}
        self._timers: set[asyncio.Task[None]] = set()

    def expects(self, operation: Operation) -> None:
        """It has just begun: its page has to listen soon, or was closed before it heard of it."""
        self._cancel_after(self._policy.page_arrival_s, operation)

    def arrived(self, operation: Operation) -> None:
        self._listening[operation.operation_id] = self._listening.get(operation.operation_id, 0) + 1

    def left(self, operation: Operation) -> None:
        remaining = self._listening.pop(operation.operation_id) - 1
        if remaining:
            self._listening[operation.operation_id] = remaining
        elif not operation.has_ended():
            self._cancel_after(self._policy.page_grace_s, operation)

    def is_heard(self) -> bool:
        """Whether any page listens to any operation."""
        return bool(self._listening)

    def _cancel_after(self, grace_s: float, operation: Operation) -> None:
        timer = asyncio.get_running_loop().create_task(self._cancel_later(grace_s, operation))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _cancel_later(self, grace_s: float, operation: Operation) -> None:
        await asyncio.sleep(grace_s)
        if operation.operation_id not in self._listening:
            operation.cancel()
