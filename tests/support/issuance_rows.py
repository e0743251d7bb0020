"""How many rows issuance has written."""

from sqlalchemy import func, select

from ca_core.audit.store import events
from ca_core.issuance.store import certificates, certified_keys, intents
from ca_core.kernel.database import Database, Statement

COUNTS = [Statement(select(func.count()).select_from(t)) for t in (intents, certificates, certified_keys, events)]


def counts(database: Database) -> list[int]:
    """Rows of intents, certificates, keys and events."""
    with database.read() as tx:
        return [tx.all(statement)[0][0] for statement in COUNTS]
