"""Lists of a CRL's entries side by side, in a temporary file: any number of them, in bounded memory."""

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from ca_core.kernel.connections import translated

SHOWN = 20
"""How many serials a difference names."""
_BATCH = 5_000
_REMOVE_FROM_CRL = bytes.fromhex("0603551d1504030a0108")

Item = tuple[bytes, int | None]
"""(an entry's DER, its shard)"""


class CrlComparison:
    """Named lists, of which each holds a serial once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", "cache_size=-16384"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute(
            "CREATE TABLE entries (list TEXT, serial BLOB, shard INTEGER, entry BLOB,"
            " PRIMARY KEY (list, serial)) WITHOUT ROWID"
        )
        connection.execute("BEGIN")

    def load(self, name: str, items: Iterable[Item]) -> tuple[int, int]:
        """(how many came, how many of them were there already)."""
        came = added = 0
        iterator = iter(items)
        while batch := list(islice(iterator, _BATCH)):
            before = self._connection.total_changes
            self._connection.executemany(
                "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)",
                [(name, serial_octets(entry), shard, entry) for entry, shard in batch],
            )
            came += len(batch)
            added += self._connection.total_changes - before
        return came, came - added

    def apply_delta(self, name: str, entries: Iterable[bytes]) -> None:
        """The list as a verifier updates it (RFC 5280 s5.2.4)."""
        for entry in entries:
            serial = serial_octets(entry)
            if _REMOVE_FROM_CRL in entry:
                self._connection.execute("DELETE FROM entries WHERE list = ? AND serial = ?", (name, serial))
            else:
                self._connection.execute("REPLACE INTO entries VALUES (?, ?, NULL, ?)", (name, serial, entry))

    def missing(self, left: str, right: str, *, same_shard: bool = False) -> list[str]:
        """Serials of `left` that `right` lacks or has with another entry, the first few."""
        rows = self._connection.execute(
            "SELECT hex(l.serial) FROM entries l LEFT JOIN entries r ON r.list = ? AND r.serial = l.serial"
            " WHERE l.list = ? AND (r.entry IS NULL OR r.entry <> l.entry OR (? AND r.shard IS NOT l.shard)) LIMIT ?",
            (right, left, same_shard, SHOWN),
        )
        return [row[0] for row in rows]

    def vanished(self, left: str, right: str, allowed: str) -> list[str]:
        """Serials of `left` that are neither in `right` nor in `allowed`, the first few."""
        rows = self._connection.execute(
            "SELECT hex(l.serial) FROM entries l WHERE l.list = ?"
            " AND NOT EXISTS (SELECT 1 FROM entries r WHERE r.list = ? AND r.serial = l.serial)"
            " AND NOT EXISTS (SELECT 1 FROM entries a WHERE a.list = ? AND a.serial = l.serial) LIMIT ?",
            (left, right, allowed, SHOWN),
        )
        return [row[0] for row in rows]

    def count_without_shard(self, left: str, right: str) -> int:
        """How many serials of `left` have no shard in `right`."""
        row = self._connection.execute(
            "SELECT COUNT(*) FROM entries l JOIN entries r ON r.list = ? AND r.serial = l.serial"
            " WHERE l.list = ? AND r.shard IS NULL",
            (right, left),
        ).fetchone()
        return int(row[0])


@contextmanager
def comparison(folder: Path | None = None) -> Iterator[CrlComparison]:
    """An empty one, in a file that goes with it. At 412,404 entries a list takes about 45 MB."""
    with tempfile.TemporaryDirectory(prefix="citizenid-crl-", dir=folder) as place:
        with translated(), closing(sqlite3.connect(Path(place) / "lists.db", isolation_level=None)) as connection:
            yield CrlComparison(connection)


def serial_octets(entry: bytes) -> bytes:
    """The userCertificate's content of an entry in DER of this house (all its lengths are of one octet)."""
    return entry[4 : 4 + entry[3]]
