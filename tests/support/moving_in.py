"""The import's services for tests."""

from collections.abc import Callable
from pathlib import Path

from ca_core.audit import AuditLog
from ca_core.authorities import AuthorityRegistry
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.migration.model import ImportReport
from ca_core.migration.service import MigrationService
from ca_core.registration.imported import HolderRegister
from ca_core.registration.sealing import NationalIdKeys

KEYS = NationalIdKeys({"k1": b"1" * 32}, "k1", b"2" * 32)
ACTOR = "operator:1"


def moving_in(
    database: Database,
    clock: Clock,
    rng: Rng,
    *,
    batch: int = 500,
    checkpoint: Callable[[str], None] | None = None,
    second_place: SecondPlace = WITHOUT_SECOND_PLACE,
) -> MigrationService:
    """Imports with fixed keys over national IDs."""
    return MigrationService(
        database,
        AuthorityRegistry(database, clock),
        AuditLog(clock, rng),
        clock,
        holders=HolderRegister(KEYS, rng),
        second_place=second_place,
        batch=batch,
        checkpoint=checkpoint,
    )


def run_kind(service: MigrationService, kind: str, path: Path) -> ImportReport:
    """The import of that kind, of the authority `old-g1`."""
    if kind == "holders":
        return service.import_holders(path, actor=ACTOR)
    if kind == "certificates":
        return service.import_certificates(path, "old-g1", actor=ACTOR)
    return service.import_crl(path, "old-g1", actor=ACTOR)
