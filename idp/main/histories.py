"""The schema histories of every package, in the order in which they are run."""

from pathlib import Path

from ca_core import migrations as ca_core_migrations
from ca_core.kernel.database import Database
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.migration import History, pending, upgrade
from ca_core.schema import metadata as ca_core_metadata
from idp import migrations as idp_migrations
from idp.schema import metadata as idp_metadata

HISTORIES = (
    History(name="ca_core", folder=Path(ca_core_migrations.__path__[0]), metadata=ca_core_metadata),
    History(name="idp", folder=Path(idp_migrations.__path__[0]), metadata=idp_metadata),
)


def upgrade_all(database: Database) -> None:
    """Brings the database to this code's schema. Safe on several nodes at once."""
    for history in HISTORIES:
        upgrade(database, history)


def verify_current(database: Database) -> None:
    """Raises: ConfigurationError, where the database is older or newer than this code."""
    behind = [history.name for history in HISTORIES if pending(database, history)]
    if behind:
        raise ConfigurationError(
            f"the database is not at this code's schema ({', '.join(behind)}): citizenid db upgrade"
        )
