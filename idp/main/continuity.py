"""What moves a deployment in, and what brings it back: imports and backups."""

from ca_core.backup.journal import Journal
from ca_core.backup.service import BackupService, verify_restored
from ca_core.backup.standing import verify_standing
from ca_core.issuance.past import PastCertificates
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng
from ca_core.kernel.settings import NationalIdSettings, SoftwareKeys, read_secret
from ca_core.migration.service import MigrationService
from ca_core.registration.imported import HolderRegister
from ca_core.registration.sealing import NationalIdKeys
from ca_core.status.outside_responders import OutsideResponders
from idp.main.authority import CertificationAuthority
from idp.main.histories import verify_current
from idp.main.log_keys import signed_size


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


def verify_serviceable(ca: CertificationAuthority) -> None:
    """Accepts a database at this code's schema that lacks nothing of the second place, which a role that does without
    one cannot know. Raises: ConfigurationError, RestoreUnfinished, DatabaseBehind, NoteRefused, Unavailable."""
    verify_current(ca.database)
    second_place = ca.settings.second_place
    journal = None if second_place is None else Journal(second_place)
    verify_standing(ca.database, journal, ca.audit, ca.clock, signed_size=signed_size(ca))


def verify_database(ca: CertificationAuthority) -> None:
    """What costs little of `verify_serviceable`: for health."""
    verify_current(ca.database)
    verify_restored(ca.database)


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
