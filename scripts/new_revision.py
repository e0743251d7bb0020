"""Writes a package's next schema revision from the difference between its tables and its history.

Usage: .venv/bin/python scripts/new_revision.py ca_core|idp "what changes"
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.migration import new_revision, upgrade
from idp.main.histories import HISTORIES


def main() -> None:
    name, message = sys.argv[1:]
    history = next(history for history in HISTORIES if history.name == name)
    package = import_module(name)
    for module in walk_packages(package.__path__, f"{name}."):
        if module.name.endswith((".store", "_store")):
            import_module(module.name)
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(sqlite_url(Path(folder) / "history.db"))
        upgrade(database, history)
        new_revision(database, history, message)
        database.dispose()


if __name__ == "__main__":
    main()
