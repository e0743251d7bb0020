"""A volume that is full, for files that this process and its children write."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable

_WAL_HEADER, _WAL_FRAME = 32, 24 + 4096


@contextmanager
def files_bounded(size: int) -> Iterator[None]:
    """Every write beyond that many octets of a file fails, as on a full volume; what fits is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def until_it_fits(database: Database, act: Callable[[], object], most: int = 400) -> int:
    """The act over a SQLite file, with room for one more page of its write-ahead log each time.

    Returns how often it was refused, each time by Unavailable.
    """
    path = database.engine.url.database
    assert path is not None
    for refused in range(most):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        try:
            with files_bounded(_WAL_HEADER + refused * _WAL_FRAME):
                act()
        except Unavailable:
            continue
        return refused
    raise AssertionError("it never fits")
