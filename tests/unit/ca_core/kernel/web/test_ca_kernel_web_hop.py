"""Calls that share a commit: each is answered with its own outcome, and only once all of it is on disk."""

import asyncio
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, bindparam, insert, select

from ca_core.kernel.database import Database, Statement, sqlite_url
from ca_core.kernel.errors import Conflict, Unavailable
from ca_core.kernel.web import hop as hop_module
from ca_core.kernel.web.hop import Call, Hop

THINGS = Table("thing", MetaData(), Column("name", String(20), primary_key=True))
ADD = Statement(insert(THINGS).values(name=bindparam("name")))
NAMES = Statement(select(THINGS.c.name).order_by(THINGS.c.name))


@pytest.fixture
def things(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(sqlite_url(tmp_path / "things.db"))
    THINGS.create(opened.engine)
    yield opened
    opened.dispose()


class Counted:
    """Adds names, and tells how many commits the file has seen from outside at each answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.path = database.engine.url.database or ""

    def add(self, name: str) -> str:
        with self._database.write() as tx:
            tx.execute(ADD, name=name)
        return name

    def stored(self) -> list[str]:
        with sqlite3.connect(self.path) as other:
            found = [row[0] for row in other.execute("SELECT name FROM thing ORDER BY name")]
        other.close()
        return found


async def gathered(hop: Hop, things: Counted, *names: str) -> list[object]:
    async def one(name: str) -> object:
        answer = await hop(things.add, name)
        assert name in things.stored()  # nobody is answered before
        return answer

    return list(await asyncio.gather(*(one(name) for name in names), return_exceptions=True))


def test_each_call_has_its_own_outcome(things: Database) -> None:
    counted = Counted(things)
    answers = asyncio.run(gathered(Hop(things), counted, "a", "b", "a", "c"))
    assert [answers[0], answers[1], answers[3]] == ["a", "b", "c"]
    assert isinstance(answers[2], Conflict)
    assert counted.stored() == ["a", "b", "c"]


def test_a_commit_that_fails_is_every_callers_failure(things: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, commits = Counted(things), []

    class NoCommit:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # noqa: ANN401 - as sqlite3 has it
            if sql == "COMMIT":
                commits.append(sql)
                raise sqlite3.OperationalError("disk I/O error")
            return self._connection.execute(sql, *parameters)

        def close(self) -> None:
            self._connection.close()

    take = things.connections.take
    monkeypatch.setattr(things.connections, "take", lambda: NoCommit(take()))
    answers = asyncio.run(gathered(Hop(things), counted, "a", "b", "c"))
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert (len(commits), counted.stored()) == (1, [])


def test_more_calls_than_one_commit_takes(things: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hop_module, "MAX_TOGETHER", 2)
    counted = Counted(things)
    assert asyncio.run(gathered(Hop(things), counted, *"abcde")) == list("abcde")


def test_a_cancelled_call_does_not_hold_up_the_others(things: Database) -> None:
    counted, hop = Counted(things), Hop(things)

    async def run() -> object:
        first = asyncio.ensure_future(hop(counted.add, "a"))
        second = asyncio.ensure_future(hop(counted.add, "b"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(run()) == "b"


def test_without_a_coroutine_each_hears_its_own_outcome_once_all_of_it_is_on_disk(things: Database) -> None:
    counted, hop = Counted(things), Hop(things)
    heard: list[tuple[object, object, list[str]]] = []

    async def run() -> None:
        for name in ("a", "b", "a"):
            hop.start(
                partial(counted.add, name), lambda call: heard.append((call.result, call.error, counted.stored()))
            )
        assert heard == []
        while len(heard) < 3:
            await asyncio.sleep(0)

    asyncio.run(run())
    assert [(result, type(error)) for result, error, _ in heard] == [
        ("a", type(None)),
        ("b", type(None)),
        (None, Conflict),
    ]
    assert all(stored == ["a", "b"] for _, _, stored in heard)


def test_a_fault_in_the_telling_is_not_the_next_calls(things: Database) -> None:
    hop = Hop(things)
    heard: list[object] = []
    faults: list[object] = []

    def broken(call: Call) -> None:
        raise LookupError("nobody there")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context["exception"]))
        hop.start(lambda: 1, broken)
        hop.start(lambda: 2, lambda call: heard.append(call.result))
        while not heard:
            await asyncio.sleep(0)

    asyncio.run(run())
    assert heard == [2]
    assert [type(fault) for fault in faults] == [LookupError]
