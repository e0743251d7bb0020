"""Brings a database to the schema of the code: Alembic, one history a package, each in one transaction."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from ca_core.kernel.connections import translated
from ca_core.kernel.database import Database, UtcTime

_UPGRADE_LOCK = 0x63697469  # any constant: the advisory lock that two upgrading nodes queue for


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A package's migrations. name: the package. folder: where its `env.py` and `versions/` are."""

    name: str
    folder: Path
    metadata: MetaData

    @property
    def version_table(self) -> str:
        return f"alembic_version_{self.name}"


def upgrade(database: Database, history: History) -> None:
    """Runs what is missing of a package's history. Safe to run on several nodes at once; a failure changes nothing."""
    with translated(), database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        command.upgrade(_config(history, connection), "head")


def pending(database: Database, history: History) -> bool:
    """True while the database is not at the newest revision of this history."""
    with translated(), database.engine.connect() as connection:
        current = _context(connection, history).get_current_revision()
    return current != ScriptDirectory.from_config(_config(history, None)).get_current_head()


def differences(database: Database, history: History) -> list[object]:
    """What the tables in the database and in the code differ in: empty after `upgrade`, or the history lacks a step."""
    own = set(history.metadata.tables)
    with database.engine.connect() as connection:
        found: list[object] = compare_metadata(
            MigrationContext.configure(
                connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in own}
            ),
            history.metadata,
        )
    return found


def run_environment(metadata: MetaData) -> None:
    """What each package's `env.py` calls: runs the revisions on the connection that the caller holds."""
    config = context.config
    context.configure(
        connection=config.attributes["connection"],
        target_metadata=metadata,
        version_table=config.attributes["version_table"],
        include_name=lambda name, kind, _: kind != "table" or name in metadata.tables,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


def new_revision(database: Database, history: History, message: str) -> None:
    """Writes a new revision file from the difference between the code's tables and the database's. For developers."""
    with database.engine.begin() as connection:
        number = 1 + sum(1 for _ in (history.folder / "versions").glob("*.py"))
        command.revision(_config(history, connection), message=message, autogenerate=True, rev_id=f"{number:04d}")


def _render(kind: str, item: object, autogenerate: AutogenContext) -> str | Literal[False]:
    """Our own column type by its name; everything else as Alembic writes it."""
    if kind == "type" and isinstance(item, UtcTime):
        autogenerate.imports.add("from ca_core.kernel.database import UtcTime")
        return "UtcTime()"
    return False


def _config(history: History, connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(history.folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = history.version_table
    return config


def _context(connection: Connection, history: History) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": history.version_table})
