"""What issuance has written: how many rows, and whether they belong together."""

from collections.abc import Sequence

from sqlalchemy import func, select

from ca_core.audit.store import events
from ca_core.issuance import IssuanceRequest, IssuedCertificate
from ca_core.issuance.store import certificates, certified_keys, intents
from ca_core.kernel.database import Database, Row, Statement
from support.pki import citizen_request

COUNTS = [Statement(select(func.count()).select_from(t)) for t in (intents, certificates, certified_keys, events)]
INTENTS = Statement(select(intents.c.request_id, intents.c.authority_id, intents.c.serial, intents.c.completed_at))
CERTIFICATES = Statement(
    select(certificates.c.request_id, certificates.c.authority_id, certificates.c.serial, certificates.c.der)
)
EVENTS = Statement(select(events.c.name, events.c.request_id, events.c.subject))


def counts(database: Database) -> list[int]:
    """Rows of intents, certificates, keys and events."""
    with database.read() as tx:
        return [tx.all(statement)[0][0] for statement in COUNTS]


def rows(database: Database, statement: Statement) -> list[Row]:
    with database.read() as tx:
        return tx.all(statement)


def requests(count: int, prefix: str = "b") -> list[IssuanceRequest]:
    """Of as many citizens."""
    return [citizen_request(f"{prefix}{index}", card_number=f"{index:016d}") for index in range(count)]


def issued(outcomes: Sequence[IssuedCertificate | Exception]) -> list[IssuedCertificate]:
    """All of them are certificates."""
    assert all(isinstance(outcome, IssuedCertificate) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, IssuedCertificate)]


def verify_whole(database: Database) -> None:
    """Every intent is one certificate with one event; no serial of an authority stands twice."""
    known = rows(database, INTENTS)
    assert all(row[3] is not None for row in known)
    assert sorted(row[:3] for row in known) == sorted(row[:3] for row in rows(database, CERTIFICATES))
    assert len({row[1:3] for row in known}) == len(known)
    told = [row[1] for row in rows(database, EVENTS) if row[0] == "certificate.issued"]
    assert sorted(told) == sorted(row[0] for row in known)
