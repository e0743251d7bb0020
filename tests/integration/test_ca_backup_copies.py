"""A backup's copy of the database: what is in it, who reads it, and where it may be put back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.backup.copies import put_copy
from ca_core.backup.errors import TargetNotEmpty
from support.second_place import Guarded, request_of


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_sqlite_left_beside_an_old_database_is_not_played_into_a_restored_one(tmp_path: Path, suffix: str) -> None:
    """Where a process was killed, and then the database alone was moved away."""
    copy, target = tmp_path / "copy.sqlite", tmp_path / "database.db"
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("CREATE TABLE restored (id INTEGER)")
    left = tmp_path / f"database.db{suffix}"
    left.write_bytes(b"of another database")
    with pytest.raises(TargetNotEmpty, match=left.name):
        put_copy(copy, f"sqlite:///{target}", "INSERT INTO restored VALUES (1)")
    assert not target.exists()
    assert left.read_bytes() == b"of another database"
    left.unlink()
    put_copy(copy, f"sqlite:///{target}", "INSERT INTO restored VALUES (1)")
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("SELECT id FROM restored").fetchall() == [(1,)]


def test_the_copy_holds_the_certificates_octets(guarded: Guarded, tmp_path: Path) -> None:
    issued = guarded.issuance.issue(request_of(1))
    guarded.backups.create(tmp_path / "backup", actor="operator:1")
    der = issued.certificate.public_bytes(Encoding.DER)
    if guarded.database.is_embedded:
        with closing(sqlite3.connect(tmp_path / "backup" / "database.sqlite")) as connection:
            assert connection.execute("SELECT count(*) FROM certificates WHERE der = ?", (der,)).fetchone() == (1,)
    else:
        assert der.hex() in (tmp_path / "backup" / "database.sql").read_text()
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
