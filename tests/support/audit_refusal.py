"""An audit log that cannot be written, by a trigger in the database itself; and keys that count what they sign."""

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from sqlalchemy import select

import ca_core.schema
from ca_core.kernel.database import Database
from ca_core.keys import KeyAlgorithm, PrivateKey
from ca_core.keys.hsm_keys import HsmEcPrivateKey
from support.pki import MemoryKeyStore

_SQLITE = (
    "CREATE TRIGGER audit_refused BEFORE INSERT ON audit_events{when} BEGIN SELECT RAISE(ABORT, 'not written'); END"
)
_POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION audit_refused() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'not written'; END $$",
    "CREATE TRIGGER audit_refused BEFORE INSERT ON audit_events FOR EACH ROW{when} EXECUTE FUNCTION audit_refused()",
)


@contextmanager
def audit_refused(database: Database, name: str | None = None) -> Iterator[None]:
    """No event is written within the block; with a name, no event of that name."""
    is_sqlite = database.engine.dialect.name == "sqlite"
    condition = "" if name is None else f" WHEN (NEW.name = '{name}')"
    made = (_SQLITE,) if is_sqlite else _POSTGRESQL
    _run(database, *(statement.format(when=condition) for statement in made))
    try:
        yield
    finally:
        _run(database, "DROP TRIGGER audit_refused" + ("" if is_sqlite else " ON audit_events"))


def _run(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of the certification authority."""
    with database.engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in ca_core.schema.metadata.sorted_tables
        }


class CountingKeyStore(MemoryKeyStore):
    """signatures: how many the keys of this store made, whoever asked. gone: what they raise instead, while set."""

    def __init__(self) -> None:
        super().__init__()
        self.signatures = 0
        self.gone: Exception | None = None

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        return self._counted(super().generate(label, algorithm))

    def private_key(self, label: str) -> PrivateKey:
        return self._counted(super().private_key(label))

    def _counted(self, key: PrivateKey) -> PrivateKey:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        size = (key.key_size + 7) // 8
        algorithm = hashes.SHA256() if size == 32 else hashes.SHA384()

        def raw_sign(digest: bytes) -> bytes:
            if self.gone is not None:
                raise self.gone
            self.signatures += 1
            r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(algorithm))))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        return HsmEcPrivateKey(key.public_key(), raw_sign)
