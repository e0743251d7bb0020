"""What moves a deployment in, and what brings it back: imports and backups."""

from ca_core.backup.journal import Journal
from ca_core.backup.service import BackupService
from ca_core.issuance.past import PastCertificates
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng
from ca_core.kernel.settings import NationalIdSettings, SoftwareKeys, read_secret
from ca_core.migration.service import MigrationService
from ca_core.registration.imported import HolderRegister
from ca_core.registration.sealing import NationalIdKeys
from ca_core.status.outside_responders import OutsideResponders
from idp.main.authority import CertificationAuthority


def backup_service(ca: CertificationAuthority) -> BackupService:
    """Backups of this deployment."""
    settings = ca.settings
    return BackupService(
        settings.database_dsn(),
        journal=None if settings.second_place is None else Journal(settings.second_place),
        key_folder=settings.keys.folder if isinstance(settings.keys, SoftwareKeys) else None,
        audit=ca.audit,
        clock=ca.clock,
        rng=ca.rng,
    )


def migration_service(ca: CertificationAuthority, *, with_holders: bool) -> MigrationService:
    """Imports into this deployment. with_holders: needs the keys over national IDs. Raises: ConfigurationError."""
    holders = None
    if with_holders:
        if ca.settings.national_id is None:
            raise ConfigurationError("national_id: is missing")
        holders = holder_register(ca.settings.national_id, ca.rng)
    return MigrationService(ca.database, ca.registry, ca.audit, ca.clock, holders=holders, second_place=ca.second_place)


def outside_responders(ca: CertificationAuthority) -> OutsideResponders:
    """OCSP certificates from authorities whose keys are elsewhere."""
    past = PastCertificates(ca.second_place)
    return OutsideResponders(ca.database, ca.registry, ca.key_store, past, ca.audit, ca.clock, ca.rng)


def holder_register(national_id: NationalIdSettings, rng: Rng) -> HolderRegister:
    """Imported persons, sealed under the configured keys."""
    keys = NationalIdKeys(
        {key_id: read_secret(path) for key_id, path in national_id.keys.items()},
        national_id.current,
        read_secret(national_id.lookup_key_file),
    )
    return HolderRegister(keys, rng)
