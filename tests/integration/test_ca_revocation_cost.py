"""What one revocation costs SQLite beside 17,000 and beside 412,404 others: the same work, to the instruction."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.connections import DriverConnection
from ca_core.kernel.database import Database
from ca_core.revocation import RevocationReason
from support.fakes import FakeClock, SeededRng
from support.whole_ca import ACTOR, WholeCa

SMALL, COUNTRY = 17_000, 412_404
OF_ROWS = {
    "issuance_intents": {"request_id": "'bulk-' || n", "serial": "printf('%040x', n)", "tbs": "x'30'"},
    "certificates": {
        "id": "1000 + n",
        "request_id": "'bulk-' || n",
        "serial": "printf('%040x', n)",
        "der": "x'30'",
        "person_id": "'person-' || n",
        "card_number": "'card-' || n",
    },
    "status_changes": {"seq": "1000 + n", "certificate_id": "1000 + n", "serial": "printf('%040x', n)"},
}
"""What of a table's rows is not as in the one that stands there already."""


class Instructions:
    """Those of SQLite's machine, on every connection that the database takes."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        self._take = database.connections.take
        monkeypatch.setattr(database.connections, "take", self._taken)

    def _taken(self) -> DriverConnection:
        connection = self._take()
        connection.set_progress_handler(self._one_more, 1)
        return connection

    def _one_more(self) -> int:
        self._count += 1
        return 0

    def of(self, act: Callable[[], object]) -> int:
        before = self._count
        act()
        return self._count - before


def load(database: Database, first: int, last: int) -> None:
    """So many more revoked certificates, in bulk."""
    with database.engine.begin() as connection:
        for table, differing in OF_ROWS.items():
            names = [row[1] for row in connection.execute(text(f"PRAGMA table_info({table})"))]
            values = ", ".join(differing.get(name, f"one.{name}") for name in names)
            counted = "counted(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM counted WHERE n < :last)"
            one = f"(SELECT * FROM {table} LIMIT 1) AS one"  # noqa: S608 - the tables above
            into = f"INSERT INTO {table} ({', '.join(names)})"
            statement = f"{into} WITH RECURSIVE {counted} SELECT {values} FROM counted, {one}"  # noqa: S608 - the same
            connection.execute(text(statement), {"first": first, "last": last})
        connection.execute(text("UPDATE status_head SET seq = :seq"), {"seq": 1000 + last})


def test_a_revocation_costs_the_same_beside_17_000_and_412_404(
    sqlite_database_url: str, clock: FakeClock, rng: SeededRng, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(sqlite_database_url, pool_size=1)
    ca = WholeCa(database, clock, rng)
    instructions = Instructions(database, monkeypatch)
    several = [ca.issue(f"r{number}", number) for number in range(7)]

    def cost(issued: IssuedCertificate) -> int:
        return instructions.of(
            lambda: ca.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
        )

    cost(several[0])  # the log's head, and the statements
    alone = cost(several[1])
    load(database, 1, SMALL)
    at_small = [cost(several[2]), cost(several[3])]
    load(database, SMALL + 3, COUNTRY)
    at_country = [cost(several[4]), cost(several[5])]
    with database.read() as tx:
        assert ca.log.head(tx) > COUNTRY
    assert alone > 100
    assert at_small == at_country == [alone, alone]
    assert instructions.of(lambda: ca.crls.publish("citizen-g1")) > COUNTRY  # the count counts
    database.dispose()
