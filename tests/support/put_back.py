"""A whole database put back to an earlier moment by its own means: a copied file, a recovered server."""

import shutil
from pathlib import Path

from sqlalchemy import make_url

from ca_core.backup.copies import sqlite_path, take_copy
from ca_core.kernel.database import Database
from support.postgresql import PostgresqlServer

_KEPT = "put_back_kept"


class PutBack:
    """One earlier moment of a database. Whoever has it open finds it changed under its feet."""

    def __init__(self, database: Database, url: str, folder: Path, server: PostgresqlServer | None) -> None:
        self._database = database
        self._url = url
        self._file = folder / "kept.sqlite"
        self._server = server

    def keep(self) -> None:
        self._database.connections.close()
        if self._server is None:
            self._file.unlink(missing_ok=True)
            take_copy(self._url, self._file)
            return
        self._server.create_database(_KEPT, template=self._name)

    def put_back(self) -> None:
        self._database.connections.close()
        if self._server is None:
            target = sqlite_path(self._url)
            for suffix in ("-wal", "-shm"):
                Path(f"{target}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(self._file, target)
            return
        self._server.create_database(self._name, template=_KEPT)

    @property
    def _name(self) -> str:
        return make_url(self._url).database or ""
