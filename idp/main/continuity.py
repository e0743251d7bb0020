"""What moves a deployment in, and what brings it back: imports, the second place, backups."""

from ca_core.backup.journal import Journal
from ca_core.backup.service import BackupService
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.kernel.settings import NationalIdSettings, Settings, SoftwareKeys, read_secret
from ca_core.migration.service import MigrationService
from ca_core.registration.imported import HolderRegister
from ca_core.registration.sealing import NationalIdKeys
from idp.main.authority import CertificationAuthority


def second_place_of(settings: Settings) -> SecondPlace:
    """The second place that the settings name, or none where they say so by the dangerous name.

    Raises: ConfigurationError, where they say neither or both: what is absent does not mean "none".
    """
    if (settings.second_place is None) != settings.without_second_place:
        raise ConfigurationError("second_place: name a folder, or set the dangerous without_second_place")
    return WITHOUT_SECOND_PLACE if settings.second_place is None else Journal(settings.second_place)


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
    return MigrationService(
        ca.database, ca.registry, ca.audit, ca.clock, holders=holders, second_place=second_place_of(ca.settings)
    )


def holder_register(national_id: NationalIdSettings, rng: Rng) -> HolderRegister:
    """Imported persons, sealed under the configured keys."""
    keys = NationalIdKeys(
        {key_id: read_secret(path) for key_id, path in national_id.keys.items()},
        national_id.current,
        read_secret(national_id.lookup_key_file),
    )
    return HolderRegister(keys, rng)
