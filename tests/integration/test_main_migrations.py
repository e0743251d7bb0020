"""The schema histories: they end at the tables of the code, run once, and a failing step leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import op
from sqlalchemy import inspect

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.migration import differences
from idp.main.histories import HISTORIES, upgrade_all, verify_current
from support.postgresql import PostgresqlServer
from support.tables import all_metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "empty.db")
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.create_database("migrations")
    database = Database.open(url)
    yield database
    database.dispose()


def test_the_histories_end_at_the_tables_of_the_code(empty_database: Database) -> None:
    all_metadata()
    upgrade_all(empty_database)
    assert {history.name: differences(empty_database, history) for history in HISTORIES} == {"ca_core": [], "idp": []}


def test_a_second_upgrade_changes_nothing(empty_database: Database) -> None:
    upgrade_all(empty_database)
    tables = inspect(empty_database.engine).get_table_names()
    upgrade_all(empty_database)
    assert inspect(empty_database.engine).get_table_names() == tables
    verify_current(empty_database)


def test_an_older_schema_is_not_served(empty_database: Database) -> None:
    with pytest.raises(ConfigurationError, match="citizenid db upgrade"):
        verify_current(empty_database)


def test_a_step_that_fails_leaves_nothing_behind(empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upgrade is one transaction on both databases, so a kill in the middle is as harmless as this."""
    made: list[object] = []

    class Killed(Exception):
        pass

    real = op.create_table

    def create_table(*arguments: object, **options: object) -> object:
        if len(made) == 3:
            raise Killed
        made.append(arguments[0])
        return real(*arguments, **options)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(op, "create_table", create_table)
    with pytest.raises(Killed):
        upgrade_all(empty_database)
    assert len(made) == 3
    assert inspect(empty_database.engine).get_table_names() == []
    monkeypatch.undo()
    upgrade_all(empty_database)
    verify_current(empty_database)
