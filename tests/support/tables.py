"""Every table of the server packages, in an empty database."""

import importlib
import pkgutil
from importlib.util import find_spec

import psycopg
from psycopg import sql
from sqlalchemy import MetaData, create_engine

import ca_core.schema
import idp.schema

PACKAGES = ("ca_core", "mobile_api", "idp")


def all_metadata() -> tuple[MetaData, ...]:
    """The packages' metadata, once each feature's `store` module has registered its tables on it."""
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            raise AssertionError(f"the package {package} is not installed; run `make setup`")
        for module in pkgutil.walk_packages(list(spec.submodule_search_locations), f"{package}."):
            if module.name.endswith((".store", "_store")):
                importlib.import_module(module.name)
    return ca_core.schema.metadata, idp.schema.metadata


def create_tables(url: str) -> None:
    """Creates every table in an empty database."""
    engine = create_engine(url)
    try:
        for metadata in all_metadata():
            metadata.create_all(engine)
    finally:
        engine.dispose()


def empty_tables(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Deletes every row of a PostgreSQL database, whatever an earlier test has left open in it.

    Cheaper than TRUNCATE for tables of a few rows. Triggers (an append-only log refuses DELETE) are off meanwhile.
    """
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    deletes = [sql.SQL("DELETE FROM {}").format(sql.Identifier(str(name))) for (name,) in names]
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("SET LOCAL lock_timeout = '10s'")
        if deletes:
            connection.execute(sql.SQL("; ").join(deletes))
