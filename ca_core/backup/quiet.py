"""A place of the journal before which everything is decided."""

import time

from ca_core.backup import store
from ca_core.backup.errors import BackupRefused
from ca_core.backup.journal import Journal
from ca_core.backup.model import Place
from ca_core.kernel.database import Database

_PATIENCE_S = 120.0
_LOOK_AGAIN_S = 0.05


def settled_place(database: Database, journal: Journal) -> Place:
    """Where the journal ended at a moment after which each act before that place was committed or never will be.

    Whoever writes to the journal holds a transaction that has written rows. SQLite lets one of those in at a time: with
    its lock in hand nobody is between the journal and the commit. On PostgreSQL those that ran when the place was read
    are waited for; nobody waits for the backup. Raises: SecondPlaceUnavailable, BackupRefused.
    """
    if database.is_embedded:
        with database.write():
            return journal.place()
    place = journal.place()
    wait_settled(database)
    return place


def wait_settled(database: Database) -> None:
    """Returns when each act that is in the journal now was committed or never will be. Raises: BackupRefused."""
    if database.is_embedded:
        with database.write():
            return
    with database.read() as tx:
        _, begun = store.in_progress(tx)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with database.read() as tx:
            lowest, _ = store.in_progress(tx)
        if lowest >= begun:
            return
        time.sleep(_LOOK_AGAIN_S)
    raise BackupRefused("a transaction has been open for two minutes: end it, then try again")
